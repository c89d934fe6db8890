-- name: intend
-- Say what is about to be done, before it is done. Found again, the row is given back as it stands.
INSERT INTO gatepost.effect AS e (key, run_id, root_run_id, tenant, step_id, call_path, purpose, generation, tool,
    tool_version, effect_class, on_doubt, fingerprint, arguments, approval_id, epoch)
VALUES (%(key)s, %(run_id)s, %(root_run_id)s, %(tenant)s, %(step_id)s, %(call_path)s, %(purpose)s, %(generation)s,
    %(tool)s, %(tool_version)s, %(effect_class)s, %(on_doubt)s, %(fingerprint)s, %(arguments)s, %(approval_id)s,
    %(epoch)s)
ON CONFLICT (key) DO UPDATE SET attempts = e.attempts
RETURNING *, (xmax = 0) AS fresh;

-- name: again
-- Another attempt under the same key.
UPDATE gatepost.effect SET attempts = attempts + 1, epoch = %(epoch)s
WHERE key = %(key)s AND state = 'intended';

-- name: finish
-- What became of it.
UPDATE gatepost.effect SET
    state = %(state)s::gatepost.effect_state, result = %(result)s, failure = %(failure)s, epoch = %(epoch)s,
    finished_at = CASE WHEN %(state)s::gatepost.effect_state IN ('succeeded', 'failed') THEN gatepost.now() END
WHERE key = %(key)s AND state IN ('intended', 'in_doubt');

-- name: get
-- One effect by its key.
SELECT * FROM gatepost.effect WHERE key = %(key)s;

-- name: list
-- The effects of a run, oldest first.
SELECT * FROM gatepost.effect WHERE run_id = %(run_id)s ORDER BY intended_at, key;
