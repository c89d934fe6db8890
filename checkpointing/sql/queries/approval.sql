-- name: lock
-- The approval and its run, both held until the decision is committed, the run first as every owner does.
WITH held AS (
    SELECT run_id, tenant, status, requested_by, workflow FROM gatepost.run
    WHERE run_id = (SELECT run_id FROM gatepost.approval WHERE approval_id = %(approval_id)s)
      AND tenant = %(tenant)s
    FOR NO KEY UPDATE
)
SELECT a.*, h.status AS run_status, h.requested_by, h.tenant, h.workflow,
       gatepost.now() AS now, a.decide_by IS NOT NULL AND a.decide_by <= gatepost.now() AS too_late
FROM gatepost.approval a JOIN held h USING (run_id)
WHERE a.approval_id = %(approval_id)s
FOR NO KEY UPDATE OF a;

-- name: decide
-- The compare-and-set that makes one answer the answer.
UPDATE gatepost.approval SET status = 'decided', closed_at = gatepost.now()
WHERE approval_id = %(approval_id)s AND status = 'open'
  AND (decide_by IS NULL OR decide_by > gatepost.now())
RETURNING approval_id;

-- name: record
-- Who answered, what, and how they were known.
INSERT INTO gatepost.decision
    (approval_id, principal, type, comment, args, digest, channel, authenticated, on_behalf_of, act_by)
VALUES (%(approval_id)s, %(principal)s, %(type)s, %(comment)s, %(args)s, %(digest)s, %(channel)s, %(authenticated)s,
        %(on_behalf_of)s, gatepost.now() + make_interval(secs => %(act_seconds)s::float8))
RETURNING at;

-- name: circumstances
-- By what an edited action is judged, beside itself: what the run has set out to spend, and who wrote its plan.
SELECT coalesce((SELECT sum((last.record ->> 'cost')::bigint) FROM (
                     SELECT DISTINCT ON (s.step_id, s.record ->> 'generation') s.record
                     FROM gatepost.step s WHERE s.run_id = a.run_id
                     ORDER BY s.step_id, s.record ->> 'generation', s.seq DESC
                 ) AS last WHERE (last.record ->> 'counted')::boolean), 0)::bigint AS spent,
       coalesce((SELECT p.plan ->> 'origin' FROM gatepost.plan p
                 WHERE p.run_id = a.run_id ORDER BY p.version DESC LIMIT 1), 'file') AS origin,
       gatepost.now() AS now
FROM gatepost.approval a WHERE a.approval_id = %(approval_id)s;

-- name: foresee
-- What the action would set going that was decided upon, where somebody gave it other arguments.
UPDATE gatepost.approval SET impact = %(impact)s WHERE approval_id = %(approval_id)s;

-- name: wake
-- The answer's transaction also says who moves the run next: any mover, or for a while only the caller who answered.
UPDATE gatepost.run SET
    status = 'queued', reason = %(reason)s, updated_at = gatepost.now(), wake_at = gatepost.now() + %(kept)s::interval,
    wake_reason = CASE WHEN %(kept)s::interval IS NOT NULL THEN 'kept for the caller who answered' END
WHERE run_id = %(run_id)s AND status IN ('blocked', 'waiting');

-- name: withdraw
-- Take a question back that a policy answers by now, unless somebody was faster; whoever moves the run goes on with it.
WITH held AS (
    SELECT run_id FROM gatepost.run
    WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND owner IS NOT NULL
    FOR NO KEY UPDATE
), gone AS (
    UPDATE gatepost.approval a SET status = 'void', closed_at = gatepost.now()
    FROM held WHERE a.run_id = held.run_id AND a.approval_id = %(approval_id)s AND a.status = 'open'
    RETURNING a.run_id, a.approval_id
), noted AS (
    INSERT INTO gatepost.approval_event (approval_id, kind, actor, reason)
    SELECT approval_id, 'withdrawn', 'policy', %(reason)s FROM gone
)
UPDATE gatepost.run r SET
    status = CASE WHEN r.status IN ('blocked', 'waiting') THEN 'queued' ELSE r.status END,
    reason = %(reason)s, wake_at = NULL, wake_reason = NULL, updated_at = gatepost.now()
FROM gone WHERE r.run_id = gone.run_id;

-- name: answered
-- The given approvals of a run with the answer that stands, if there is one.
SELECT a.approval_id, a.step_id, a.status, a.digest, a.request, a.impact, a.judged, a.level, a.decide_by, a.taken_seq,
       least(a.act_by, d.act_by) AS act_by, coalesce(least(a.act_by, d.act_by) <= gatepost.now(), false) AS act_too_late,
       d.principal, d.type, d.comment, d.args, d.digest AS decided_digest, d.channel, d.authenticated, d.on_behalf_of,
       d.at AS decided_at,
       (SELECT count(*) FROM (
            SELECT DISTINCT ON (v.counted_as) v.type, v.digest FROM gatepost.vote v
            WHERE v.approval_id = a.approval_id AND v.level = a.level ORDER BY v.counted_as, v.number DESC
        ) AS last WHERE last.type IN ('approve', 'edit') AND last.digest = d.digest) AS yes
FROM gatepost.approval a LEFT JOIN gatepost.decision d USING (approval_id)
WHERE a.run_id = %(run_id)s AND a.approval_id = ANY(%(approval_ids)s);

-- name: get
-- One approval of the tenant with its answer.
SELECT a.*, r.tenant, r.goal, r.workflow, r.requested_by, r.fork_effects, r.status AS run_status,
       d.principal, d.type, d.comment, d.args, d.digest AS decided_digest, d.channel, d.authenticated, d.on_behalf_of,
       d.at AS decided_at, d.act_by AS good_until
FROM gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
WHERE a.approval_id = %(approval_id)s AND r.tenant = %(tenant)s;

-- name: find
-- Approvals whose id starts so.
SELECT a.approval_id FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE r.tenant = %(tenant)s AND starts_with(a.approval_id, %(prefix)s)
ORDER BY (a.approval_id = %(prefix)s) DESC, a.approval_id LIMIT 6;

-- name: list
-- A page of approvals, oldest first.
SELECT a.approval_id, a.run_id, a.step_id, a.status, a.request, a.impact, a.judged, a.opened_at, a.level, a.quorum, a.decide_by, a.closed_at,
       r.goal, r.fork_effects,
       d.principal, d.type, d.comment, d.args, d.channel, d.authenticated, d.on_behalf_of, d.at AS decided_at,
       (SELECT count(DISTINCT v.counted_as) FROM gatepost.vote v
        WHERE v.approval_id = a.approval_id AND v.level = a.level AND v.type IN ('approve', 'edit')) AS yes
FROM gatepost.approval a JOIN gatepost.run r USING (run_id) LEFT JOIN gatepost.decision d USING (approval_id)
WHERE r.tenant = %(tenant)s
  AND (%(status)s::text IS NULL OR a.status::text = %(status)s)
  AND (%(run_id)s::text IS NULL OR a.run_id = %(run_id)s)
ORDER BY a.opened_at, a.approval_id
LIMIT %(limit)s;
