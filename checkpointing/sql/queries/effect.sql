-- name: intend
-- Say what is about to be done, before it is done, under the fence. Found again, a row is given back as it stands.
WITH fence AS MATERIALIZED (SELECT gatepost.fence(%(held)s::json) AS moment)
INSERT INTO gatepost.effect AS e (key, run_id, root_run_id, tenant, step_id, call_path, purpose, generation, tool,
    tool_version, effect_class, on_doubt, fingerprint, arguments, approval_id, epoch, intended_at, attempted_at)
SELECT i.key, i.run_id, i.root_run_id, i.tenant, i.step_id, i.call_path, i.purpose, i.generation, i.tool,
    i.tool_version, i.effect_class, i.on_doubt, i.fingerprint, i.arguments, i.approval_id, i.epoch, moment, moment
FROM fence, json_to_recordset(%(intents)s::json) AS i (key text, run_id text, root_run_id text, tenant text,
    step_id text, call_path text, purpose text, generation integer, tool text, tool_version text, effect_class text,
    on_doubt text, fingerprint text, arguments json, approval_id text, epoch bigint)
ON CONFLICT (key) DO UPDATE SET attempts = e.attempts
RETURNING *, (xmax = 0) AS fresh, CASE WHEN xmax = 0 THEN intended_at ELSE gatepost.now() END AS now;

-- name: withdraw
-- No call was made of what was announced beforehand, and none is under way: it leaves no doubt, and counts for nothing.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET attempts = 0, cleared = true FROM fence
WHERE key = ANY(%(keys)s) AND run_id = %(run_id)s AND state = 'intended' AND attempts = 1 AND effect.epoch = %(epoch)s;

-- name: again
-- Another attempt under the same key, within the time for which the provider remembers it.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET attempts = attempts + 1, attempted_at = gatepost.now(), cleared = false,
    not_before = NULL, epoch = %(epoch)s FROM fence
WHERE key = %(key)s AND state = 'intended'
  AND (%(within)s::interval IS NULL OR gatepost.now() < intended_at + %(within)s::interval)
RETURNING gatepost.effect.*, false AS fresh, gatepost.now() AS now;

-- name: pause
-- The next attempt is not made before its time, and announced when it is made; whether all so far certainly did nothing.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET cleared = %(certain)s, failure = %(failure)s, not_before = gatepost.now() + %(wait)s,
    epoch = %(epoch)s FROM fence
WHERE key = %(key)s AND state = 'intended';

-- name: succeed
-- It happened in this very transaction.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET state = 'succeeded', result = %(result)s, failure = NULL, epoch = %(epoch)s,
    finished_at = gatepost.now() FROM fence
WHERE key = %(key)s AND state = 'intended';

-- name: get
-- One effect by its key.
SELECT *, false AS fresh, gatepost.now() AS now FROM gatepost.effect WHERE key = %(key)s;

-- name: list
-- The effects of a run, oldest first.
SELECT * FROM gatepost.effect WHERE run_id = %(run_id)s ORDER BY intended_at, key;

-- name: find
-- Effects whose key starts so.
SELECT key FROM gatepost.effect WHERE tenant = %(tenant)s AND starts_with(key, %(prefix)s)
ORDER BY (key = %(prefix)s) DESC, key LIMIT 6;

-- name: page
-- A page of effects, newest first; or only those of which nobody knows whether they happened, or how they will end.
SELECT * FROM gatepost.effect
WHERE tenant = %(tenant)s
  AND (NOT %(unknown)s OR state = 'in_doubt' OR (state = 'intended' AND NOT cleared))
  AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
ORDER BY intended_at DESC, key
LIMIT %(limit)s;

-- name: one
-- One effect of the tenant, with who moves its run and the last question about it.
SELECT e.*, r.workflow, r.goal, r.requested_by, r.status AS run_status, r.finished_at AS run_finished_at, r.owner, r.lease_expires_at > gatepost.now() AS owned,
       q.approval_id AS question, q.status AS question_status
FROM gatepost.effect e JOIN gatepost.run r USING (run_id)
LEFT JOIN LATERAL (
    SELECT a.approval_id, a.status FROM gatepost.approval a
    WHERE a.run_id = e.run_id AND a.request ->> 'effect_key' = e.key
    ORDER BY a.opened_at DESC, a.approval_id LIMIT 1
) q ON true
WHERE e.key = %(key)s AND e.tenant = %(tenant)s;

-- name: settle
-- What somebody found out about an effect of a run that has ended: no question is open, and nobody goes on with it.
WITH settled AS (
    UPDATE gatepost.effect e SET
        state = %(state)s::gatepost.effect_state, result = %(result)s, failure = %(failure)s, finished_at = gatepost.now()
    FROM gatepost.run r
    WHERE e.key = %(key)s AND e.tenant = %(tenant)s AND e.state = 'in_doubt'
      AND r.run_id = e.run_id AND r.finished_at IS NOT NULL
    RETURNING e.run_id
)
INSERT INTO gatepost.intervention (run_id, kind, actor, reason)
SELECT run_id, 'resolve', %(actor)s, %(reason)s FROM settled
RETURNING run_id;
