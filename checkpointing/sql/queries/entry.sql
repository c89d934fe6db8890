-- name: note
-- An owner's hold on a run, and the code it moves it by; the code's facts once per version.
WITH known AS (
    INSERT INTO gatepost.code (digest, facts) VALUES (%(code)s, %(facts)s) ON CONFLICT DO NOTHING
)
INSERT INTO gatepost.entry (run_id, epoch, now, status, reason, code)
VALUES (%(run_id)s, %(epoch)s, %(now)s, %(status)s::gatepost.run_status, %(reason)s, %(code)s)
ON CONFLICT DO NOTHING;

-- name: answer
-- What a model said to the same prompt, when this plan version was planned before.
SELECT answer FROM gatepost.answer
WHERE run_id = %(run_id)s AND plan_version = %(plan_version)s AND number = %(number)s AND digest = %(digest)s;

-- name: answered
-- What a model said, under the fence.
INSERT INTO gatepost.answer (run_id, plan_version, number, digest, prompt, answer)
SELECT run_id, %(plan_version)s, %(number)s, %(digest)s, %(prompt)s, %(answer)s
FROM gatepost.run WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND owner IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: inherited
-- What a model said to this prompt in the runs that a fork comes from; else, if any will do, to another in this place.
WITH RECURSIVE lineage AS (
    SELECT parent_run_id AS run_id FROM gatepost.run WHERE run_id = %(run_id)s AND tenant = %(tenant)s
    UNION
    SELECT r.parent_run_id FROM gatepost.run r JOIN lineage l USING (run_id) WHERE r.parent_run_id IS NOT NULL
)
SELECT a.answer FROM gatepost.answer a JOIN lineage USING (run_id)
WHERE a.digest = %(digest)s OR (%(any)s AND a.plan_version = %(plan_version)s AND a.number = %(number)s)
ORDER BY (a.digest = %(digest)s) DESC, (a.plan_version = %(plan_version)s AND a.number = %(number)s) DESC, a.at DESC
LIMIT 1;
