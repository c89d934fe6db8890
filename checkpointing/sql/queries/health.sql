-- name: server
-- Which server this is, as whom we act on it, and what it takes the time to be.
SELECT current_setting('server_version') AS version, current_user::text AS role, gatepost.now() AS now,
       pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes, r.rolsuper, r.rolbypassrls
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user;

-- name: runs
-- What is under way: what waits for a mover, and for how long already, what only a person moves, and what nobody does;
-- and how many movers listen.
SELECT count(*) AS unfinished,
       count(*) FILTER (WHERE kind = 'approval') AS blocked,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'queue'), '{}') AS unmoved,
       max(gatepost.now() - updated_at) FILTER (WHERE kind = 'queue') AS unmoved_for,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'operator'), '{}') AS parked,
       coalesce(array_agg(run_id ORDER BY created_at) FILTER (WHERE kind = 'nobody'), '{}') AS alarms,
       (SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = pg_catalog.current_database()
          AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s) AS movers
FROM gatepost.next_mover WHERE tenant = %(tenant)s;

-- name: waiting
-- Open questions, and effects of which nobody knows whether they happened.
SELECT (SELECT count(*) FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
        WHERE r.tenant = %(tenant)s AND a.status = 'open') AS approvals,
       (SELECT coalesce(array_agg(key ORDER BY intended_at), '{}') FROM gatepost.effect
        WHERE tenant = %(tenant)s AND state = 'in_doubt') AS doubts;
