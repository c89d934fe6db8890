-- name: remember
-- The sets under which runs are moved from now on; the first to say so is believed, for a version is a hash of them.
INSERT INTO gatepost.policy_version (version, sets) VALUES (%(version)s, %(sets)s) ON CONFLICT (version) DO NOTHING;

-- name: enforce
-- These sets are in force from now on.
INSERT INTO gatepost.policy_in_force (workflow, tenant, version)
SELECT * FROM unnest(%(workflows)s::text[], %(tenants)s::text[], %(versions)s::text[])
ON CONFLICT (workflow, tenant) DO UPDATE SET version = EXCLUDED.version, since = gatepost.now()
WHERE policy_in_force.version <> EXCLUDED.version;

-- name: show
-- The sets of a version, or the one set that has it by itself; it may be abbreviated.
SELECT DISTINCT ON (version) version, sets, first_used FROM (
    SELECT version, sets, first_used, 1 AS rank FROM gatepost.policy_version
    UNION ALL
    SELECT one ->> 'version', jsonb_build_array(one), v.first_used, 2
    FROM gatepost.policy_version v, jsonb_array_elements(v.sets) AS one WHERE one ->> 'version' <> ''
) AS known WHERE starts_with(version, %(prefix)s) ORDER BY version, rank, first_used LIMIT 2;

-- name: page
-- What has judged here, the latest first.
SELECT version, sets, first_used FROM gatepost.policy_version ORDER BY first_used DESC, version LIMIT %(limit)s;
