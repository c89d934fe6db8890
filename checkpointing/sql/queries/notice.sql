-- name: claim
-- Take notices that are due, the oldest first. Whoever takes one has it until the lease is over; a sender that died
-- with it is counted by its attempt.
WITH due AS MATERIALIZED (
    SELECT notice_id FROM gatepost.notice
    WHERE state = 'pending' AND due_at <= (SELECT gatepost.now())
      AND (%(tenants)s::text[] IS NULL OR tenant = ANY(%(tenants)s::text[]))
    ORDER BY due_at, notice_id
    LIMIT %(slots)s
    FOR UPDATE SKIP LOCKED
)
UPDATE gatepost.notice n SET attempts = n.attempts + 1, due_at = gatepost.now() + %(lease)s::interval
FROM due, gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
WHERE n.notice_id = due.notice_id AND a.approval_id = n.approval_id
RETURNING n.notice_id, n.tenant, n.run_id, n.approval_id, n.kind, n.level, n.attempts, n.told, n.reason,
          a.step_id, a.request, a.status, a.level AS level_now, a.decide_by,
          a.decide_by IS NOT NULL AND a.decide_by <= gatepost.now() AS too_late,
          r.workflow, r.requested_by, gatepost.now() AS now, d.principal AS decided_by, d.type AS decision;

-- name: people
-- Who can answer a question that asks for some roles: those who hold one, and those to whom they delegated it.
WITH holder AS (
    SELECT principal FROM gatepost.principal_role
    WHERE tenant = %(tenant)s AND role = ANY(%(roles)s) AND revoked_at IS NULL
)
SELECT principal FROM holder
UNION
SELECT d.delegate FROM gatepost.delegation d JOIN holder h ON h.principal = d.giver
WHERE d.tenant = %(tenant)s AND d.ended_at IS NULL AND d.ends_at > gatepost.now()
  AND (d.kind = 'all' OR (d.kind = 'role' AND d.scope = ANY(%(roles)s))
       OR (d.kind = 'workflow' AND d.scope = %(workflow)s) OR (d.kind = 'tool' AND d.scope = %(tool)s));

-- name: told
-- One address has it; its sender has as long again for the next.
UPDATE gatepost.notice SET
    told = CASE WHEN %(address)s = ANY(told) THEN told ELSE array_append(told, %(address)s) END,
    due_at = CASE WHEN state = 'pending' AND attempts = %(attempts)s
                  THEN gatepost.now() + %(lease)s::interval ELSE due_at END
WHERE notice_id = %(notice_id)s;

-- name: settle
-- Nothing more is to be done about it, as far as whoever has it now can see.
UPDATE gatepost.notice SET state = %(state)s::gatepost.notice_state, reason = %(reason)s, settled_at = gatepost.now()
WHERE notice_id = %(notice_id)s AND state = 'pending' AND attempts = %(attempts)s;

-- name: later
-- Not everybody has it: once more, later each time, up to an hour, and not all of them at once.
UPDATE gatepost.notice SET
    reason = %(reason)s,
    due_at = gatepost.now() + least(power(2, attempts - 1), 3600) * %(pause)s::interval * (0.75 + random() / 2)
WHERE notice_id = %(notice_id)s AND state = 'pending' AND attempts = %(attempts)s;

-- name: due
-- How long until the next one is due.
SELECT min(due_at) - gatepost.now() AS left FROM gatepost.notice WHERE state = 'pending';

-- name: list
-- A page of a tenant's notices, the newest first; or of those that somebody should have by now or will get: dead, failed
-- so far, or about a question that is still open.
SELECT n.notice_id, n.kind, n.state, n.run_id, a.step_id, n.approval_id, n.attempts, n.told, n.reason, n.due_at,
       n.written_at, n.settled_at
FROM gatepost.notice n JOIN gatepost.approval a USING (approval_id)
WHERE n.tenant = %(tenant)s AND (%(everything)s OR n.state = 'dead' OR (n.state = 'pending' AND (n.reason <> '' OR a.status = 'open')))
ORDER BY n.written_at DESC, n.due_at DESC, n.notice_id LIMIT %(limit)s;

-- name: find
-- Notices whose id starts so.
SELECT notice_id FROM gatepost.notice
WHERE tenant = %(tenant)s AND starts_with(notice_id, %(prefix)s)
ORDER BY (notice_id = %(prefix)s) DESC, notice_id LIMIT 6;

-- name: retry
-- Send again what is dead, and now what would be tried later; one, or all of a tenant.
UPDATE gatepost.notice SET state = 'pending', attempts = 0, reason = '', due_at = gatepost.now(), settled_at = NULL
WHERE tenant = %(tenant)s AND (%(notice_id)s::text IS NULL OR notice_id = %(notice_id)s)
  AND (state = 'dead' OR (state = 'pending' AND reason <> ''))
RETURNING notice_id;

-- name: dead
-- What nobody could deliver, of each tenant or of one, and the last reason.
SELECT tenant, count(*) AS dead, (array_agg(reason ORDER BY written_at DESC))[1] AS reason
FROM gatepost.notice WHERE state = 'dead' AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
GROUP BY tenant ORDER BY tenant;
