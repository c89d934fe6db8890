-- name: limit
-- Whoever looks at gauges waits no longer than so.
SELECT pg_catalog.set_config('statement_timeout', %(milliseconds)s, true);

-- name: all
-- How things stand, of all tenants together: unfinished runs by status and by who moves them next, how long the queue
-- and the questions wait, calls whose end nobody knows, and how many movers listen. Finished runs are counted by nobody
-- here: they are many.
WITH moment AS MATERIALIZED (SELECT gatepost.now() AS now),
     unfinished AS MATERIALIZED (SELECT workflow, status::text, kind, updated_at FROM gatepost.next_mover),
     asked AS MATERIALIZED (
         SELECT r.workflow, a.opened_at FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
         WHERE a.status = 'open'
     )
SELECT 'runs' AS gauge, workflow, status AS label, count(*)::float8 AS value FROM unfinished GROUP BY workflow, status
UNION ALL
SELECT 'movers', workflow, kind, count(*) FROM unfinished GROUP BY workflow, kind
UNION ALL
SELECT 'stuck', workflow, '', count(*) FROM unfinished, moment
WHERE kind = 'nobody' OR (kind = 'queue' AND updated_at < now - %(patience)s::interval) GROUP BY workflow
UNION ALL
SELECT 'queue_age', workflow, '', extract(epoch FROM max(now - updated_at)) FROM unfinished, moment
WHERE kind = 'queue' GROUP BY workflow
UNION ALL
SELECT 'approvals', workflow, '', count(*) FROM asked GROUP BY workflow
UNION ALL
SELECT 'approval_age', workflow, '', extract(epoch FROM max(now - opened_at)) FROM asked, moment GROUP BY workflow
UNION ALL
SELECT 'effects', r.workflow, e.state::text, count(*) FROM gatepost.effect e JOIN gatepost.run r USING (run_id)
WHERE e.state = 'in_doubt' OR (e.state = 'intended' AND NOT e.cleared) GROUP BY r.workflow, e.state
UNION ALL
SELECT 'listening', '', '', count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = pg_catalog.current_database()
  AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s;
