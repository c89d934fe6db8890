-- name: admit
-- Write the run before anything is promised; a second one with the same id changes nothing.
INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, fingerprint)
VALUES (%(run_id)s, %(tenant)s, %(run_id)s, %(requested_by)s, %(goal)s, %(workflow)s, %(graph_version)s,
        %(input)s, %(fingerprint)s)
ON CONFLICT (run_id) DO NOTHING;

-- name: get
-- One run of the tenant.
SELECT *, gatepost.now() AS now FROM gatepost.run WHERE run_id = %(run_id)s AND tenant = %(tenant)s;

-- name: find
-- Runs whose id starts so; two rows are enough to know that it is ambiguous.
SELECT run_id FROM gatepost.run
WHERE tenant = %(tenant)s AND starts_with(run_id, %(prefix)s)
ORDER BY (run_id = %(prefix)s) DESC, run_id LIMIT 6;

-- name: list
-- A page of runs, newest first.
SELECT run_id, goal, workflow, status, reason, requested_by, seq, plan_version, owner, lease_expires_at,
       created_at, updated_at, finished_at
FROM gatepost.run
WHERE tenant = %(tenant)s
  AND (%(status)s::text IS NULL OR status::text = %(status)s)
ORDER BY created_at DESC, run_id
LIMIT %(limit)s;

-- name: take
-- Take the lease when nobody holds it or the holder's has run out; a new epoch fences the old owner.
UPDATE gatepost.run SET
    owner = %(owner)s, epoch = epoch + 1, lease_expires_at = gatepost.now() + %(ttl)s,
    status = CASE WHEN status = 'queued' THEN 'running' ELSE status END, updated_at = gatepost.now()
WHERE run_id = %(run_id)s AND tenant = %(tenant)s AND finished_at IS NULL
  AND (owner IS NULL OR lease_expires_at <= gatepost.now())
RETURNING *, gatepost.now() AS now;

-- name: extend
-- The heartbeat: no row means that the lease is lost.
UPDATE gatepost.run SET lease_expires_at = gatepost.now() + %(ttl)s
WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND owner IS NOT NULL
RETURNING lease_expires_at;

-- name: release
-- Let go. A run that was still moving, or whose open question has been answered meanwhile, is queued
-- for the next mover; both cases are decided under the run's row lock, so no answer falls between.
UPDATE gatepost.run SET
    owner = NULL, lease_expires_at = NULL, updated_at = gatepost.now(),
    status = CASE
        WHEN status = 'running' THEN 'queued'
        WHEN status = 'blocked' AND EXISTS (
            SELECT FROM gatepost.approval a
            WHERE a.run_id = run.run_id AND a.status = 'decided' AND a.taken_seq IS NULL
        ) THEN 'queued'
        ELSE status END
WHERE run_id = %(run_id)s AND epoch = %(epoch)s
RETURNING status;

-- name: fence
-- Take the run's row under our epoch and move it on; raises GP001 when it is not ours any more.
SELECT gatepost.advance(%(run_id)s, %(epoch)s, %(seq)s, %(status)s::gatepost.run_status, %(reason)s,
                        %(plan_version)s) AS now;

-- name: transition
-- One row a superstep.
INSERT INTO gatepost.transition (run_id, seq, source, nodes, next, status, reason, actor, epoch, checkpoint_id)
VALUES (%(run_id)s, %(seq)s, %(source)s, %(nodes)s, %(next)s, %(status)s, %(reason)s, %(actor)s,
        %(epoch)s, %(checkpoint_id)s);

-- name: plan
-- A plan version, once.
INSERT INTO gatepost.plan (run_id, version, seq, plan) VALUES (%(run_id)s, %(version)s, %(seq)s, %(plan)s);

-- name: step
-- What became of a step in this transition.
INSERT INTO gatepost.step (run_id, seq, step_id, status, record)
VALUES (%(run_id)s, %(seq)s, %(step_id)s, %(status)s, %(record)s);

-- name: artifact
-- A version of an output.
INSERT INTO gatepost.artifact (run_id, name, version, seq, step_id, media_type, content, sha256, parents)
VALUES (%(run_id)s, %(name)s, %(version)s, %(seq)s, %(step_id)s, %(media_type)s, %(content)s, %(sha256)s, %(parents)s);
