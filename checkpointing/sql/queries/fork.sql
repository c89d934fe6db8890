-- name: run
-- The new run, in the state of the other one.
INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, fingerprint,
    reason, priority, seq, plan_version, parent_run_id, parent_seq, fork_effects, wake_at, wake_reason)
SELECT %(fork)s, p.tenant, %(fork)s, %(actor)s, p.goal, p.workflow, p.graph_version, %(input)s, %(fingerprint)s,
       %(reason)s, p.priority, %(seq)s, %(plan_version)s, p.run_id, %(seq)s, %(effects)s,
       gatepost.now() + %(kept)s::interval,
       CASE WHEN %(kept)s::interval IS NOT NULL THEN 'kept for the caller who forked it' END
FROM gatepost.run p WHERE p.run_id = %(parent)s
  AND NOT EXISTS (SELECT FROM checkpoints c WHERE c.thread_id = %(fork)s)
ON CONFLICT (run_id) DO NOTHING;

-- name: taken
-- Whether an id is that of a run or of a thread.
SELECT EXISTS (SELECT FROM gatepost.run WHERE run_id = %(run_id)s)
    OR EXISTS (SELECT FROM checkpoints WHERE thread_id = %(run_id)s) AS yes;

-- name: copy_plans
-- Its plans so far.
INSERT INTO gatepost.plan (run_id, version, seq, plan, at)
SELECT %(fork)s, version, seq, plan, at FROM gatepost.plan WHERE run_id = %(parent)s AND seq <= %(seq)s;

-- name: new_plan
-- The plan that a change to it makes.
INSERT INTO gatepost.plan (run_id, version, seq, plan) VALUES (%(fork)s, %(version)s, %(seq)s, %(plan)s);

-- name: copy_steps
-- What became of its steps so far; of those that stand otherwise in the fork, what came before.
INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record)
SELECT %(fork)s, seq, step_id, status, at, record FROM gatepost.step
WHERE run_id = %(parent)s AND seq <= %(seq)s AND NOT (seq = %(seq)s AND step_id = ANY(%(changed)s::text[]));

-- name: changed_step
-- A step as it stands in the fork.
INSERT INTO gatepost.step (run_id, seq, step_id, status, record)
VALUES (%(fork)s, %(seq)s, %(step)s, %(status)s::gatepost.step_status, %(record)s);

-- name: copy_artifacts
-- Its artifacts so far.
INSERT INTO gatepost.artifact (run_id, name, version, seq, step_id, media_type, content, sha256, parents, at)
SELECT %(fork)s, name, version, seq, step_id, media_type, content, sha256, parents, at FROM gatepost.artifact
WHERE run_id = %(parent)s AND seq <= %(seq)s;

-- name: copy_transition
-- The first transition of a fork; the ones before it are of its parent.
INSERT INTO gatepost.transition (run_id, seq, source, nodes, next, status, reason, actor, epoch, checkpoint_id)
VALUES (%(fork)s, %(seq)s, 'fork', '{}', '{policy_gate}', 'queued', %(reason)s, %(actor)s, 0, %(checkpoint_id)s);

-- name: copy_noted
-- Who forked it, and with which changes.
INSERT INTO gatepost.intervention (run_id, kind, actor, reason) VALUES (%(fork)s, 'fork', %(actor)s, %(reason)s);

-- name: place
-- A transition of a run, by its number or by the beginning of its checkpoint's id.
SELECT seq, checkpoint_id, next, status FROM gatepost.transition
WHERE run_id = %(run_id)s AND (seq = %(seq)s::bigint OR starts_with(checkpoint_id, %(prefix)s)) ORDER BY seq LIMIT 2;

-- name: inherited
-- How a step ended in the runs that a fork comes from, the latest first: with these arguments, or with any.
WITH RECURSIVE lineage AS (
    SELECT parent_run_id AS run_id FROM gatepost.run WHERE run_id = %(run_id)s AND tenant = %(tenant)s
    UNION
    SELECT r.parent_run_id FROM gatepost.run r JOIN lineage l USING (run_id) WHERE r.parent_run_id IS NOT NULL
)
SELECT s.run_id, s.record FROM gatepost.step s JOIN lineage USING (run_id)
WHERE s.step_id = %(step)s AND s.status = 'succeeded' AND s.record ->> 'tool' = %(tool)s
ORDER BY (s.record ->> 'fingerprint' = %(fingerprint)s) DESC, s.seq DESC LIMIT 1;

-- name: unknown
-- An effect of the same step with the same arguments, in the runs that a fork comes from, whose end nobody knows.
WITH RECURSIVE lineage AS (
    SELECT parent_run_id AS run_id FROM gatepost.run WHERE run_id = %(run_id)s AND tenant = %(tenant)s
    UNION
    SELECT r.parent_run_id FROM gatepost.run r JOIN lineage l USING (run_id) WHERE r.parent_run_id IS NOT NULL
)
SELECT e.run_id, e.key FROM gatepost.effect e JOIN lineage USING (run_id)
WHERE e.step_id = %(step)s AND e.purpose = %(purpose)s AND e.fingerprint = %(fingerprint)s
  AND (e.state = 'in_doubt' OR (e.state = 'intended' AND NOT e.cleared))
LIMIT 1;
