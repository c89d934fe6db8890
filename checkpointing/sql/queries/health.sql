-- name: server
-- Which server this is, as whom we act on it, what it takes the time to be, and how many movers listen.
SELECT current_setting('server_version') AS version, current_user::text AS role, gatepost.now() AS now,
       pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes, r.rolsuper, r.rolbypassrls,
       (SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = pg_catalog.current_database()
          AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s) AS movers
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user;

-- name: runs
-- What is under way, of each tenant or of one: what waits for a mover, and for how long already, what only a person
-- moves, and what nobody does.
SELECT tenant, count(*) AS unfinished,
       count(*) FILTER (WHERE kind = 'approval') AS blocked,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'queue'), '{}') AS unmoved,
       max(gatepost.now() - updated_at) FILTER (WHERE kind = 'queue') AS unmoved_for,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'operator'), '{}') AS parked,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'nobody'), '{}') AS alarms
FROM gatepost.next_mover WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s GROUP BY tenant ORDER BY tenant;

-- name: waiting
-- Open questions, and effects of which nobody knows whether they happened, of each tenant or of one.
WITH waiting AS (
    SELECT r.tenant, NULL::text AS key, NULL::timestamptz AS intended_at
    FROM gatepost.approval a JOIN gatepost.run r USING (run_id) WHERE a.status = 'open'
    UNION ALL
    SELECT tenant, key, intended_at FROM gatepost.effect WHERE state = 'in_doubt'
)
SELECT tenant, count(*) FILTER (WHERE key IS NULL) AS approvals,
       coalesce(array_agg(key ORDER BY intended_at) FILTER (WHERE key IS NOT NULL), '{}') AS doubts
FROM waiting WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s GROUP BY tenant ORDER BY tenant;
