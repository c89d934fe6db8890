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
-- The sets of a version; it may be abbreviated.
SELECT version, sets, first_used FROM gatepost.policy_version
WHERE starts_with(version, %(prefix)s) ORDER BY version LIMIT 2;

-- name: page
-- What has judged here, the latest first.
SELECT version, sets, first_used FROM gatepost.policy_version ORDER BY first_used DESC, version LIMIT %(limit)s;
