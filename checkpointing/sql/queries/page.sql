-- name: newest
-- The newest transitions before one, and the one before these; in order.
SELECT t.run_id, t.seq, t.at, t.source, t.nodes, t.next, t.status, t.reason, t.actor, t.epoch, t.checkpoint_id,
       to_json(c.checkpoint -> 'updated_channels') AS channels FROM (
    SELECT * FROM gatepost.transition
    WHERE run_id = %(run_id)s AND seq < %(before)s
    ORDER BY seq DESC LIMIT %(limit)s + 1
) AS t LEFT JOIN public.checkpoints c
ON c.thread_id = t.run_id AND c.checkpoint_ns = '' AND c.checkpoint_id = t.checkpoint_id
ORDER BY t.seq;

-- name: next
-- The transitions after one, and that one.
SELECT t.run_id, t.seq, t.at, t.source, t.nodes, t.next, t.status, t.reason, t.actor, t.epoch, t.checkpoint_id,
       to_json(c.checkpoint -> 'updated_channels') AS channels FROM (
    SELECT * FROM gatepost.transition
    WHERE run_id = %(run_id)s AND seq >= %(after)s
    ORDER BY seq LIMIT %(limit)s + 1
) AS t LEFT JOIN public.checkpoints c
ON c.thread_id = t.run_id AND c.checkpoint_ns = '' AND c.checkpoint_id = t.checkpoint_id
ORDER BY t.seq;

-- name: steps
-- What became of steps in a page: without outputs, which may be large.
SELECT s.seq, s.step_id AS step, s.status AS "to", s.at,
       coalesce(s.record ->> 'tool', '') AS tool, coalesce(s.record ->> 'label', '') AS label,
       coalesce(s.record ->> 'reason', '') AS reason, s.record ->> 'approval' AS approval, s.record ->> 'key' AS key,
       coalesce(s.record -> 'policies', '[]') AS policies, s.record -> 'failure' AS failure,
       s.record ->> 'wake_at' AS wake_at, e.attempts
FROM gatepost.step s LEFT JOIN gatepost.effect e ON e.key = s.record ->> 'key'
WHERE s.run_id = %(run_id)s AND s.seq > %(after)s AND s.seq <= %(until)s
ORDER BY s.seq, s.at, s.step_id;

-- name: steps_before
-- How the steps of a page stood before it.
SELECT DISTINCT ON (step_id) step_id AS step, status, record ->> 'wake_at' AS wake_at FROM gatepost.step
WHERE run_id = %(run_id)s AND seq <= %(after)s AND step_id IN (
    SELECT s.step_id FROM gatepost.step s WHERE s.run_id = %(run_id)s AND s.seq > %(after)s AND s.seq <= %(until)s
)
ORDER BY step_id, seq DESC;

-- name: effects
-- The effects that were announced while the transitions of a page were made.
SELECT key, step_id AS step, purpose, tool, effect_class, state, attempts, approval_id AS approval,
       intended_at, attempted_at, finished_at, failure
FROM gatepost.effect
WHERE run_id = %(run_id)s AND intended_at > %(since)s AND intended_at <= %(at)s
ORDER BY intended_at, key;

-- name: approvals
-- The approvals that were opened or answered in a page, with what people said.
SELECT a.approval_id AS approval, a.step_id AS step, a.status, a.opened_seq, a.taken_seq,
       coalesce(a.request ->> 'kind', 'action') AS kind, a.request ->> 'tool' AS tool,
       coalesce((
           SELECT json_agg(json_build_object(
               'type', d.type, 'by', d.principal, 'on_behalf_of', d.on_behalf_of, 'comment', d.comment, 'channel', d.channel,
               'authenticated', d.authenticated, 'at', d.at) ORDER BY d.at)
           FROM gatepost.decision d WHERE d.approval_id = a.approval_id
       ), '[]') AS decisions
FROM gatepost.approval a
WHERE a.run_id = %(run_id)s AND (
    (a.opened_seq > %(after)s AND a.opened_seq <= %(until)s) OR (a.taken_seq > %(after)s AND a.taken_seq <= %(until)s))
ORDER BY a.opened_at, a.approval_id;

-- name: orders
-- What operators did while the transitions of a page were made.
SELECT kind, actor, reason, at, taken_seq FROM gatepost.intervention
WHERE run_id = %(run_id)s AND at > %(since)s AND at <= %(at)s
ORDER BY number;

-- name: made
-- The plans and artifacts of a page.
SELECT seq, 'plan' AS kind, 'v' || version AS name, coalesce(plan ->> 'reason', '') AS detail FROM gatepost.plan
WHERE run_id = %(run_id)s AND seq > %(after)s AND seq <= %(until)s
UNION ALL
SELECT seq, 'artifact', name || ' v' || version, sha256 FROM gatepost.artifact
WHERE run_id = %(run_id)s AND seq > %(after)s AND seq <= %(until)s
ORDER BY 1, 2, 3;
