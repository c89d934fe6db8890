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
-- A page of approvals, oldest first, after a place in that order: so many, and as few as have so many bytes together,
-- but the first one whatever it has. `found` tells whether there are more.
SELECT * FROM (
    SELECT *, count(*) OVER () AS found, row_number() OVER place AS number, sum(bytes) OVER place AS through FROM (
        SELECT a.approval_id, a.run_id, a.step_id, a.status, a.request, a.impact, a.judged, a.digest, a.opened_at, a.level,
               a.decide_by, a.act_by, a.closed_at,
               r.goal, r.workflow, r.requested_by, r.fork_effects, gatepost.now() AS now,
               d.principal, d.type, d.comment, d.args, d.channel, d.authenticated, d.on_behalf_of, d.at AS decided_at,
               octet_length(a.request::text) + coalesce(octet_length(a.impact::text), 0)
               + coalesce(octet_length(d.args::text), 0) AS bytes
        FROM gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
        WHERE r.tenant = %(tenant)s
          AND (%(status)s::text IS NULL OR a.status::text = %(status)s)
          AND (%(run_id)s::text IS NULL OR a.run_id = %(run_id)s)
          AND (%(workflow)s::text IS NULL OR r.workflow = %(workflow)s)
          AND (%(tool)s::text IS NULL OR a.request ->> 'tool' = %(tool)s)
          AND (%(opened_at)s::timestamptz IS NULL
               OR (a.opened_at, a.approval_id) > (%(opened_at)s::timestamptz, %(after)s::text))
        ORDER BY a.opened_at, a.approval_id
        LIMIT %(limit)s::int + 1
    ) AS first_ones WINDOW place AS (ORDER BY opened_at, approval_id)
) AS page
WHERE number = 1 OR (number <= %(limit)s::int AND through <= %(largest)s::bigint)
ORDER BY opened_at, approval_id;

-- name: questions
-- The ids of the questions that a run has open, oldest first.
SELECT approval_id FROM gatepost.approval
WHERE run_id = %(run_id)s AND status = 'open' ORDER BY opened_at, approval_id LIMIT %(limit)s;

-- name: stamp
-- Changes whenever a question of the tenant is opened or closed.
SELECT count(*) FILTER (WHERE a.status = 'open') AS open,
       coalesce(extract(epoch FROM max(greatest(a.opened_at, a.closed_at))), 0)::text AS changed
FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE r.tenant = %(tenant)s;

-- name: asked
-- What a run asked: what is open first, then the newest.
SELECT a.approval_id, a.step_id, a.status, a.request, a.opened_at, d.principal, d.type, d.comment, d.at AS decided_at
FROM gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
WHERE a.run_id = %(run_id)s AND r.tenant = %(tenant)s
ORDER BY (a.status = 'open') DESC, a.opened_at DESC, a.approval_id LIMIT %(limit)s;

-- name: effects
-- The effects that were announced in a stretch of a run, with receipts that are short enough to be shown.
SELECT key, step_id, purpose, tool, effect_class, state, attempts, intended_at, finished_at, failure,
       CASE WHEN length(result::text) <= %(longest)s::int THEN result END AS result,
       length(result::text) > %(longest)s::int AS too_long
FROM gatepost.effect
WHERE run_id = %(run_id)s AND (%(since)s::timestamptz IS NULL OR intended_at > %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR intended_at <= %(until)s::timestamptz)
ORDER BY intended_at DESC, key LIMIT %(limit)s;

-- name: artifacts
-- The newest artifacts of a run, each with as much of it as is shown.
SELECT name, version, step_id, media_type, sha256, left(content, %(longest)s::int) AS content, length(content) AS length
FROM gatepost.artifact WHERE run_id = %(run_id)s ORDER BY seq DESC, name, version DESC LIMIT %(limit)s;

-- name: progress
-- How many steps stand how, of those that have moved, as of a transition or now.
SELECT status, count(*) AS steps FROM (
    SELECT DISTINCT ON (step_id) status FROM gatepost.step
    WHERE run_id = %(run_id)s AND (%(seq)s::bigint IS NULL OR seq <= %(seq)s) ORDER BY step_id, seq DESC
) AS latest GROUP BY status ORDER BY steps DESC, status;

-- name: moved
-- The steps that moved after one transition and up to another, the last first; and how many there are.
SELECT step_id, count(*) OVER () AS moved FROM gatepost.step
WHERE run_id = %(run_id)s AND seq > %(after)s AND seq <= %(until)s
GROUP BY step_id ORDER BY max(seq) DESC, step_id LIMIT %(limit)s;

-- name: stood
-- How some steps of a run stood as of a transition.
SELECT step.step_id, step.status, step.record FROM unnest(%(steps)s::text[]) AS wanted (step_id), LATERAL (
    SELECT s.step_id, s.status, s.record FROM gatepost.step s
    WHERE s.run_id = %(run_id)s AND s.step_id = wanted.step_id AND s.seq <= %(seq)s ORDER BY s.seq DESC LIMIT 1
) AS step;

-- name: planned
-- How many steps a version of the plan has.
SELECT json_array_length((plan -> 'steps')::json) AS steps FROM gatepost.plan
WHERE run_id = %(run_id)s AND version = %(version)s;

-- name: forks
-- The runs that were forked from one, the newest first.
SELECT run_id, status, parent_seq, fork_effects, requested_by, created_at FROM gatepost.run
WHERE parent_run_id = %(run_id)s AND tenant = %(tenant)s ORDER BY created_at DESC, run_id LIMIT %(limit)s;

-- name: visits
-- How often each node of the graph ran.
SELECT node, count(*) AS visits FROM gatepost.transition t, unnest(t.nodes) AS node
WHERE t.run_id = %(run_id)s GROUP BY node;

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
