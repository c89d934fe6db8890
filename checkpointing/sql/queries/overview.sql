-- name: runs
-- A page of runs with who moves each next: those that need somebody first, then those under way, then the ended ones,
-- each newest first. The page goes on after a place in that order.
WITH shown AS (
    SELECT r.run_id, r.goal, r.workflow, r.status, r.reason, r.requested_by, r.seq, r.created_at, r.updated_at,
           r.finished_at, r.owner, m.kind AS mover, m.until AS mover_until, m.detail AS mover_detail,
           CASE WHEN m.kind IN ('nobody', 'operator') THEN 0
                WHEN m.kind = 'approval' THEN 1
                WHEN r.finished_at IS NULL THEN 2
                ELSE 3 END AS rank
    FROM gatepost.run r LEFT JOIN gatepost.next_mover m USING (run_id)
    WHERE r.tenant = %(tenant)s
      AND (%(status)s::text IS NULL OR r.status::text = %(status)s)
      AND (%(workflow)s::text IS NULL OR r.workflow = %(workflow)s)
      AND (%(search)s::text IS NULL OR starts_with(r.run_id, %(search)s)
           OR position(lower(%(search)s) IN lower(r.goal)) > 0 OR position(lower(%(search)s) IN lower(r.requested_by)) > 0)
)
SELECT * FROM shown
WHERE %(rank)s::int IS NULL OR (rank, -extract(epoch FROM created_at), run_id)
                             > (%(rank)s::int, -extract(epoch FROM %(created_at)s::timestamptz), %(run_id)s::text)
ORDER BY rank, created_at DESC, run_id
LIMIT %(limit)s;

-- name: approvals
-- A page of approvals, oldest first, after a place in that order.
SELECT a.approval_id, a.run_id, a.step_id, a.status, a.request, a.impact, a.judged, a.digest, a.opened_at, a.level, a.decide_by, a.act_by, a.closed_at,
       r.goal, r.workflow, r.requested_by, gatepost.now() AS now,
       d.principal, d.type, d.comment, d.args, d.channel, d.authenticated, d.on_behalf_of, d.at AS decided_at
FROM gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
WHERE r.tenant = %(tenant)s
  AND (%(status)s::text IS NULL OR a.status::text = %(status)s)
  AND (%(run_id)s::text IS NULL OR a.run_id = %(run_id)s)
  AND (%(workflow)s::text IS NULL OR r.workflow = %(workflow)s)
  AND (%(opened_at)s::timestamptz IS NULL
       OR (a.opened_at, a.approval_id) > (%(opened_at)s::timestamptz, %(after)s::text))
ORDER BY a.opened_at, a.approval_id
LIMIT %(limit)s;

-- name: stamp
-- Changes whenever a question of the tenant is opened or closed.
SELECT count(*) FILTER (WHERE a.status = 'open') AS open,
       coalesce(extract(epoch FROM max(greatest(a.opened_at, a.closed_at))), 0)::text AS changed
FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE r.tenant = %(tenant)s;

-- name: lanes
-- What became of the steps of a run, for the drawing of its time: the newest records, without what they hold.
SELECT * FROM (
    SELECT s.step_id, s.seq, s.status, s.at, s.record ->> 'tool' AS tool, s.record ->> 'reason' AS reason,
           s.record ->> 'label' AS label, s.record ->> 'approval' AS approval, s.record -> 'failure' AS failure
    FROM gatepost.step s WHERE s.run_id = %(run_id)s
    ORDER BY s.seq DESC LIMIT %(limit)s
) AS newest ORDER BY seq, at, step_id;

-- name: visits
-- How often each node of the graph ran, and under how many owners the run was moved.
SELECT node, count(*) AS visits FROM gatepost.transition t, unnest(t.nodes) AS node
WHERE t.run_id = %(run_id)s GROUP BY node;

-- name: owners
-- When the run was taken over: the first transition under each epoch.
SELECT epoch, min(at) AS at, min(seq) AS seq FROM gatepost.transition
WHERE run_id = %(run_id)s GROUP BY epoch ORDER BY epoch LIMIT 200;

-- name: moment
-- What time it is, for ages.
SELECT gatepost.now() AS now;

-- name: steps
-- Where each step of a run stands, without what it returned.
SELECT * FROM (
    SELECT DISTINCT ON (s.step_id) s.step_id, s.seq, s.status, s.at, s.record ->> 'tool' AS tool,
           s.record ->> 'reason' AS reason, s.record ->> 'label' AS label
    FROM gatepost.step s WHERE s.run_id = %(run_id)s
    ORDER BY s.step_id, s.seq DESC
) AS latest ORDER BY seq DESC, step_id LIMIT %(limit)s;
