-- name: of_transitions
-- Every transition, and what the superstep after it was told the time was.
SELECT seq, at, source, nodes, next, status, reason, actor, epoch, next_now FROM gatepost.transition
WHERE run_id = %(run_id)s ORDER BY seq;

-- name: of_entries
-- Every owner's hold on a run, with the code it moved it by.
SELECT e.epoch, e.now, e.status, e.reason, e.code FROM gatepost.entry e WHERE e.run_id = %(run_id)s ORDER BY e.epoch;

-- name: of_code
-- What the code of a run's owners was.
SELECT digest, facts FROM gatepost.code
WHERE digest IN (SELECT code FROM gatepost.entry WHERE run_id = %(run_id)s) ORDER BY digest;

-- name: of_answers
-- What models said; of several answers in one place the last one led on.
SELECT plan_version, number, digest, prompt, answer FROM gatepost.answer
WHERE run_id = %(run_id)s ORDER BY plan_version, number, at;

-- name: of_plans
-- Every plan version.
SELECT version, seq, plan FROM gatepost.plan WHERE run_id = %(run_id)s ORDER BY version;

-- name: of_steps
-- Every record of every step.
SELECT seq, step_id, record FROM gatepost.step WHERE run_id = %(run_id)s ORDER BY seq, at, step_id;

-- name: of_approvals
-- Every question, and how many different people said yes to what was decided.
SELECT a.approval_id, a.step_id, a.status, a.digest, a.request, a.level, a.opened_seq, a.opened_at, a.closed_at,
       a.taken_seq, a.decide_by, least(a.act_by, d.act_by) AS act_by,
       (SELECT count(*) FROM (
            SELECT DISTINCT ON (v.counted_as) v.type, v.digest FROM gatepost.vote v
            WHERE v.approval_id = a.approval_id AND v.level = a.level ORDER BY v.counted_as, v.number DESC
        ) AS last WHERE last.type IN ('approve', 'edit') AND last.digest = d.digest) AS yes
FROM gatepost.approval a LEFT JOIN gatepost.decision d USING (approval_id)
WHERE a.run_id = %(run_id)s ORDER BY a.opened_seq, a.opened_at, a.approval_id;

-- name: of_decisions
-- Every answer.
SELECT d.* FROM gatepost.decision d JOIN gatepost.approval a USING (approval_id)
WHERE a.run_id = %(run_id)s ORDER BY d.at, d.approval_id, d.principal;

-- name: of_effects
-- The ledger; of a fork, also the rows of the effects that its parents made and that its steps took over.
WITH rows AS (
    SELECT * FROM gatepost.effect WHERE run_id = %(run_id)s
    UNION ALL
    SELECT e.* FROM gatepost.effect e WHERE e.run_id <> %(run_id)s AND e.key IN (
        SELECT s.record ->> 'key' FROM gatepost.run r
        JOIN gatepost.step s ON s.run_id = r.run_id AND s.seq <= r.parent_seq
        WHERE r.run_id = %(run_id)s)
)
SELECT key, step_id, purpose, generation, tool, fingerprint, arguments, approval_id, state, attempts, result, failure,
       intended_at, attempted_at, cleared
FROM rows ORDER BY intended_at, key;

-- name: of_instructions
-- What operators told the gate, and when it heard it.
SELECT number, kind, actor, reason, data, taken_seq FROM gatepost.intervention
WHERE run_id = %(run_id)s AND taken_seq > 0 ORDER BY number;

-- name: unfinished
-- The runs that the next mover goes on with.
SELECT run_id FROM gatepost.run WHERE tenant = %(tenant)s AND finished_at IS NULL ORDER BY created_at, run_id;
