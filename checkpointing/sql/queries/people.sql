-- name: grant
-- Give a person a role; nothing changes where they hold it.
INSERT INTO gatepost.principal_role (tenant, principal, role, granted_by)
VALUES (%(tenant)s, %(principal)s, %(role)s, %(actor)s)
ON CONFLICT (tenant, principal, role) WHERE revoked_at IS NULL DO NOTHING
RETURNING number;

-- name: revoke
-- Take a role from a person.
UPDATE gatepost.principal_role SET revoked_by = %(actor)s, revoked_at = gatepost.now()
WHERE tenant = %(tenant)s AND principal = %(principal)s AND role = %(role)s AND revoked_at IS NULL
RETURNING number;

-- name: roles
-- The roles that people hold, or held.
SELECT principal, role, granted_by, granted_at, revoked_by, revoked_at FROM gatepost.principal_role
WHERE tenant = %(tenant)s AND (%(ended)s OR revoked_at IS NULL)
ORDER BY principal, role, number;

-- name: held
-- The roles of some people.
SELECT principal, role FROM gatepost.principal_role
WHERE tenant = %(tenant)s AND principal = ANY(%(principals)s) AND revoked_at IS NULL;

-- name: delegate
-- Let a person answer in another's place, until then.
INSERT INTO gatepost.delegation (delegation_id, tenant, giver, delegate, kind, scope, passes_on, ends_at, reason, given_by)
SELECT %(delegation_id)s, %(tenant)s, %(giver)s, %(delegate)s, %(kind)s, %(scope)s, %(passes_on)s, ends_at, %(reason)s,
       %(actor)s
FROM (SELECT coalesce(%(ends_at)s::timestamptz, gatepost.now() + %(lasts)s::interval) AS ends_at) AS until
WHERE ends_at > gatepost.now()
RETURNING *, ended_at IS NULL AND ends_at > gatepost.now() AS in_force;

-- name: end_delegation
-- End a delegation before its time.
UPDATE gatepost.delegation SET ended_by = %(actor)s, ended_at = gatepost.now()
WHERE delegation_id = %(delegation_id)s AND tenant = %(tenant)s AND ended_at IS NULL AND ends_at > gatepost.now()
RETURNING delegation_id;

-- name: delegations
-- Who answers in whose place, the newest first.
SELECT *, ended_at IS NULL AND ends_at > gatepost.now() AS in_force FROM gatepost.delegation
WHERE tenant = %(tenant)s AND (%(ended)s OR (ended_at IS NULL AND ends_at > gatepost.now()))
ORDER BY given_at DESC, delegation_id;

-- name: find_delegation
-- Delegations whose id starts so.
SELECT delegation_id FROM gatepost.delegation
WHERE tenant = %(tenant)s AND starts_with(delegation_id, %(prefix)s)
ORDER BY (delegation_id = %(prefix)s) DESC, delegation_id LIMIT 6;

-- name: behind
-- Every delegation that could lead to a person, in one link or several, and those of one more giver, to say why not.
WITH RECURSIVE behind AS (
    SELECT d.*, 1 AS links FROM gatepost.delegation d
    WHERE d.tenant = %(tenant)s AND (d.delegate = %(principal)s OR d.giver = %(giver)s)
    UNION
    SELECT d.*, behind.links + 1 FROM gatepost.delegation d JOIN behind ON d.delegate = behind.giver
    WHERE d.tenant = %(tenant)s AND behind.links < %(links)s
)
SELECT DISTINCT ON (given_at, delegation_id) *, ended_at IS NULL AND ends_at > gatepost.now() AS in_force FROM behind
ORDER BY given_at, delegation_id;
