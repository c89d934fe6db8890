-- name: server
-- Which server this is, as whom we act on it, and what it takes the time to be.
SELECT current_setting('server_version') AS version, current_user::text AS role, gatepost.now() AS now,
       pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes, r.rolsuper, r.rolbypassrls
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user;

-- name: runs
-- What is under way, and what nobody moves: unfinished, without a live lease and without a person to wait for.
SELECT count(*) FILTER (WHERE finished_at IS NULL) AS unfinished,
       count(*) FILTER (WHERE status = 'blocked') AS blocked,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (
           WHERE status IN ('queued', 'running') AND (owner IS NULL OR lease_expires_at <= gatepost.now())
       ), '{}') AS unmoved,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (
           WHERE status IN ('held', 'stranded', 'timed_out', 'compensation_failed')
       ), '{}') AS parked
FROM gatepost.run WHERE tenant = %(tenant)s;

-- name: waiting
-- Open questions, and effects of which nobody knows whether they happened.
SELECT (SELECT count(*) FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
        WHERE r.tenant = %(tenant)s AND a.status = 'open') AS approvals,
       (SELECT coalesce(array_agg(key ORDER BY intended_at), '{}') FROM gatepost.effect
        WHERE tenant = %(tenant)s AND state = 'in_doubt') AS doubts;
