-- name: admit
-- Write the run before anything is promised; a second one with the same id changes nothing.
INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, fingerprint,
    priority, wake_at, wake_reason, traceparent)
VALUES (%(run_id)s, %(tenant)s, %(run_id)s, %(requested_by)s, %(goal)s, %(workflow)s, %(graph_version)s,
        %(input)s, %(fingerprint)s, %(priority)s, gatepost.now() + %(kept)s::interval,
        CASE WHEN %(kept)s::interval IS NOT NULL THEN 'kept for the caller who started it' END, %(traceparent)s)
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
-- Take the lease when nobody holds it or the holder's has run out; a new epoch fences the old owner. Who asks for
-- this very run waits for no timer, but for its release where an operator stopped it.
UPDATE gatepost.run SET
    owner = %(owner)s, epoch = epoch + 1, lease_expires_at = gatepost.now() + %(ttl)s,
    status = CASE WHEN status IN ('queued', 'waiting') THEN 'running' ELSE status END,
    wake_at = NULL, wake_reason = NULL, updated_at = gatepost.now()
WHERE run_id = %(run_id)s AND tenant = %(tenant)s AND finished_at IS NULL AND status <> 'held'
  AND (owner IS NULL OR lease_expires_at <= gatepost.now())
RETURNING *, gatepost.now() AS now,
          EXISTS (SELECT FROM gatepost.intervention i
                  WHERE i.run_id = run.run_id AND i.data IS NOT NULL AND i.taken_seq IS NULL) AS instructed;

-- name: extend
-- The heartbeat, for all runs that a process holds: a run that does not come back is lost. It brings orders back.
-- Locked in the order in which gatepost.commit_supersteps locks, so that the two never wait for each other.
WITH held AS MATERIALIZED (
    SELECT r.run_id, r.epoch FROM unnest(%(run_ids)s::text[], %(epochs)s::bigint[]) AS h (run_id, epoch)
    JOIN gatepost.run r USING (run_id)
    WHERE r.epoch = h.epoch AND r.owner IS NOT NULL
    ORDER BY r.run_id COLLATE "C" FOR NO KEY UPDATE OF r
)
UPDATE gatepost.run r SET lease_expires_at = gatepost.now() + %(ttl)s
FROM held WHERE r.run_id = held.run_id AND r.epoch = held.epoch
RETURNING r.run_id, r.epoch, r.ordered;

-- name: release
-- Let go; gives the status in which the run is left, or null when it was not ours any more. Who watches is told.
SELECT gatepost.let_go(%(run_id)s, %(epoch)s, %(wake_at)s, %(wake_reason)s, %(trouble)s, %(patience)s) AS status,
       pg_catalog.pg_notify('gatepost_news', %(run_id)s);

-- name: flush
-- What finished tasks left, before their superstep ends.
SELECT gatepost.flush_rows(%(run_id)s, %(epoch)s, %(seq)s, %(rows)s) AS now;

-- name: commit
-- Supersteps of one or several runs: fence, rows, transitions and checkpoints; and the intents of the steps that they
-- dispatch. One whose key is there already is not announced, and is looked at when its turn comes.
WITH committed AS MATERIALIZED (
    SELECT gatepost.commit_supersteps(
        %(supersteps)s::json, %(steps)s::json, %(effects)s::json, %(rest)s::json,
        %(kept)s::json, %(channels)s::json, %(blobs)b, %(places)s::json, %(values)b
    ) AS now
), announced AS (
    INSERT INTO gatepost.effect (key, run_id, root_run_id, tenant, step_id, call_path, purpose, generation, tool,
        tool_version, effect_class, on_doubt, fingerprint, arguments, approval_id, epoch, intended_at, attempted_at)
    SELECT i.key, i.run_id, i.root_run_id, i.tenant, i.step_id, i.call_path, i.purpose, i.generation, i.tool,
        i.tool_version, i.effect_class, i.on_doubt, i.fingerprint, i.arguments, i.approval_id, i.epoch,
        now + interval '1 microsecond', now + interval '1 microsecond' -- later than its dispatch, as every intent is
    FROM committed, json_to_recordset(%(intents)s::json) AS i (key text, run_id text, root_run_id text, tenant text,
        step_id text, call_path text, purpose text, generation integer, tool text, tool_version text,
        effect_class text, on_doubt text, fingerprint text, arguments json, approval_id text, epoch bigint)
    ON CONFLICT (key) DO NOTHING
    RETURNING key
)
SELECT now, ARRAY(SELECT key FROM announced) AS announced FROM committed;

-- name: commit_alone
-- As `commit`, for one superstep with one effect and one intent at most, of a run whose status, reason and plan stay.
-- All of it hangs on the fence: where that finds nothing, nothing is written, and no row comes back.
WITH fence AS (
    UPDATE gatepost.run SET seq = %(seq)s::bigint, updated_at = gatepost.now()
    WHERE run_id = %(run_id)s AND epoch = %(epoch)s::bigint AND owner IS NOT NULL AND seq = %(seq)s::bigint - 1
      AND status = %(status)s::gatepost.run_status AND reason = %(reason)s AND plan_version = %(plan_version)s::integer
    RETURNING run_id, seq, epoch, status, reason, updated_at AS now
), noted AS (
    INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record)
    SELECT run_id, seq, s.step_id, s.status, now, s.record
    FROM fence, json_to_recordset(%(steps)s::json) AS s (step_id text, status gatepost.step_status, record json)
    ON CONFLICT DO NOTHING
), settled AS (
    UPDATE gatepost.effect e SET
        state = %(state)s::gatepost.effect_state, result = %(result)s::json, failure = %(failure)s::json,
        epoch = fence.epoch,
        finished_at = CASE WHEN %(state)s::gatepost.effect_state IN ('succeeded', 'failed') THEN now END
    FROM fence WHERE e.key = %(key)s AND e.state IN ('intended', 'in_doubt')
), moved AS (
    INSERT INTO gatepost.transition
        (run_id, seq, at, source, nodes, next, status, reason, actor, epoch, checkpoint_id, next_now)
    SELECT run_id, seq, now, %(source)s, %(nodes)s::text[], %(next)s::text[], status, reason, %(actor)s, epoch,
           %(checkpoint_id)s, %(next_now)s::timestamptz
    FROM fence
), valued AS (
    INSERT INTO public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT run_id, '', b.channel, b.version, b.type, b.blob
    FROM fence, unnest(%(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)b::bytea[])
        AS b (channel, version, type, blob)
    WHERE b.channel <> ''
    ON CONFLICT DO NOTHING
), kept AS (
    INSERT INTO public.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT run_id, '', %(checkpoint_id)s, %(parent)s, %(checkpoint)s::jsonb, %(metadata)s::jsonb FROM fence
), announced AS (
    INSERT INTO gatepost.effect (key, run_id, root_run_id, tenant, step_id, call_path, purpose, generation, tool,
        tool_version, effect_class, on_doubt, fingerprint, arguments, approval_id, epoch, intended_at, attempted_at)
    SELECT %(intended_key)s, run_id, %(root_run_id)s, %(tenant)s, %(intended_step)s, %(call_path)s, %(purpose)s,
        %(generation)s::integer, %(tool)s, %(tool_version)s, %(effect_class)s, %(on_doubt)s, %(fingerprint)s,
        %(arguments)s::json, %(approval_id)s, epoch,
        now + interval '1 microsecond', now + interval '1 microsecond' -- later than its dispatch, as every intent is
    FROM fence WHERE %(intended_key)s::text IS NOT NULL
    ON CONFLICT (key) DO NOTHING
    RETURNING key
)
SELECT now, ARRAY(SELECT key FROM announced) AS announced FROM fence;

-- name: standing
-- How far a run is, and under whose epoch: what an owner asks whose COMMIT was not answered; and what was announced in it.
SELECT epoch, seq, updated_at, ARRAY(
    SELECT e.key FROM gatepost.effect e
    WHERE e.run_id = r.run_id AND e.epoch = r.epoch AND e.intended_at = r.updated_at + interval '1 microsecond'
      AND e.state = 'intended' AND e.attempts = 1 AND NOT e.cleared
) AS announced
FROM gatepost.run r WHERE run_id = %(run_id)s;

-- name: position
-- The place a run has reached, where the policy kept no checkpoint of it.
SELECT seq, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, type, channel_values
FROM gatepost.position WHERE run_id = %(run_id)s;

-- name: forget_positions
-- The places of runs whose threads are deleted.
DELETE FROM gatepost.position WHERE run_id = ANY(%(run_ids)s);
