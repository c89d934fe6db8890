-- name: intend
-- Say what is about to be done, before it is done, under the fence. Found again, the row is given back as it stands.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
INSERT INTO gatepost.effect AS e (key, run_id, root_run_id, tenant, step_id, call_path, purpose, generation, tool,
    tool_version, effect_class, on_doubt, fingerprint, arguments, approval_id, epoch)
SELECT %(key)s, %(run_id)s, %(root_run_id)s, %(tenant)s, %(step_id)s, %(call_path)s, %(purpose)s, %(generation)s,
    %(tool)s, %(tool_version)s, %(effect_class)s, %(on_doubt)s, %(fingerprint)s, %(arguments)s, %(approval_id)s,
    %(epoch)s
FROM fence
ON CONFLICT (key) DO UPDATE SET attempts = e.attempts
RETURNING *, (xmax = 0) AS fresh, gatepost.now() AS now;

-- name: again
-- Another attempt under the same key, within the time for which the provider remembers it.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET attempts = attempts + 1, attempted_at = gatepost.now(), cleared = false,
    epoch = %(epoch)s FROM fence
WHERE key = %(key)s AND state = 'intended'
  AND (%(within)s::interval IS NULL OR gatepost.now() < intended_at + %(within)s::interval)
RETURNING gatepost.effect.*, false AS fresh, gatepost.now() AS now;

-- name: clear
-- Every attempt so far certainly did nothing; the next one is announced when it is made.
WITH fence AS MATERIALIZED (SELECT gatepost.advance(%(run_id)s, %(epoch)s))
UPDATE gatepost.effect SET cleared = true, failure = %(failure)s, epoch = %(epoch)s FROM fence
WHERE key = %(key)s AND state = 'intended';

-- name: get
-- One effect by its key.
SELECT *, false AS fresh, gatepost.now() AS now FROM gatepost.effect WHERE key = %(key)s;

-- name: list
-- The effects of a run, oldest first.
SELECT * FROM gatepost.effect WHERE run_id = %(run_id)s ORDER BY intended_at, key;
