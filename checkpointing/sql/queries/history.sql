-- name: plan
-- A plan version.
SELECT plan FROM gatepost.plan WHERE run_id = %(run_id)s AND version = %(version)s;

-- name: steps
-- The steps of a run as of a transition: the last record of each at or before it, in order. Which one is the last is
-- found in the index: records are wide, and sorting all of them would go to the disk.
SELECT s.step_id, s.seq, s.status, s.at, s.record
FROM gatepost.step s JOIN (
    SELECT step_id, max(seq) AS seq FROM gatepost.step
    WHERE run_id = %(run_id)s AND (%(seq)s::bigint IS NULL OR seq <= %(seq)s)
    GROUP BY step_id
) AS last USING (step_id, seq)
WHERE s.run_id = %(run_id)s
ORDER BY s.seq, s.step_id;

-- name: spent
-- What a run has set out to spend: what is counted on the last record of each generation of each step.
SELECT coalesce(sum(cost) FILTER (WHERE counted), 0)::bigint AS spent FROM (
    SELECT DISTINCT ON (step_id, record ->> 'generation')
           (record ->> 'cost')::bigint AS cost, (record ->> 'counted')::boolean AS counted
    FROM gatepost.step WHERE run_id = %(run_id)s
    ORDER BY step_id, record ->> 'generation', seq DESC
) AS last;

-- name: artifacts
-- The artifacts of a run as of a transition.
SELECT name, version, seq, step_id, media_type, content, sha256, parents, at FROM gatepost.artifact
WHERE run_id = %(run_id)s AND (%(seq)s::bigint IS NULL OR seq <= %(seq)s)
ORDER BY seq, name, version;

-- name: artifact_list
-- A page of the artifacts of a run without what is in them. There are only ever more of them, at the end.
SELECT name, version, seq, step_id, media_type, octet_length(content) AS bytes, sha256, parents, at
FROM gatepost.artifact WHERE run_id = %(run_id)s
ORDER BY seq, name, version LIMIT %(limit)s OFFSET %(after)s;

-- name: artifact
-- One of them: a version, or the newest.
SELECT name, version, seq, step_id, media_type, content, sha256, parents, at FROM gatepost.artifact
WHERE run_id = %(run_id)s AND name = %(name)s AND (%(version)s::int IS NULL OR version = %(version)s)
ORDER BY version DESC LIMIT 1;

-- name: transitions
-- A page of transitions in order.
SELECT run_id, seq, at, source, nodes, next, status, reason, actor, epoch, checkpoint_id FROM gatepost.transition
WHERE run_id = %(run_id)s AND seq > %(after)s
ORDER BY seq LIMIT %(limit)s;

-- name: step_changes
-- What became of steps in transitions after a given one, in order.
SELECT seq, step_id, status, at, record FROM gatepost.step
WHERE run_id = %(run_id)s AND seq > %(after)s AND seq <= %(until)s
ORDER BY seq, at, step_id;

-- name: steps_back
-- What it takes to go back from a transition through earlier ones (in ascending order): of each step that changed in
-- between, the last record at or before every one of these places. What stands at the top is known, so it is not read.
WITH moved AS (
    SELECT step_id FROM gatepost.step
    WHERE run_id = %(run_id)s AND seq <= %(top)s AND seq > (%(places)s::bigint[])[1]
)
SELECT * FROM (
    SELECT DISTINCT ON (step_id, below) seq, step_id, status,
           CASE WHEN below < cardinality(%(places)s::bigint[]) THEN record END AS record
    FROM (
        SELECT seq, step_id, status, record, width_bucket(seq - 1, %(places)s::bigint[]) AS below
        FROM gatepost.step
        WHERE run_id = %(run_id)s AND seq <= %(top)s AND step_id IN (SELECT step_id FROM moved)
    ) AS change
    ORDER BY step_id, below, seq DESC
) AS last
ORDER BY seq, step_id;

-- name: events
-- Everything that happened to a run, in one order: who, what, when, from, to, why.
SELECT * FROM (
    SELECT r.created_at AS at, 0 AS rank, 'run' AS kind, r.run_id AS id, NULL::bigint AS seq,
           NULL AS "from", 'queued' AS "to", r.requested_by AS who, 'started: ' || r.goal AS why,
           json_build_object('workflow', r.workflow, 'input', r.input, 'graph_version', r.graph_version) AS detail
    FROM gatepost.run r WHERE r.run_id = %(run_id)s
    UNION ALL
    SELECT t.at, 1, 'transition', t.checkpoint_id, t.seq, array_to_string(t.nodes, '+'), array_to_string(t.next, '+'),
           t.actor, t.reason,
           json_build_object('status', t.status, 'source', t.source, 'epoch', t.epoch)
    FROM gatepost.transition t WHERE t.run_id = %(run_id)s
    UNION ALL
    SELECT p.at, 2, 'plan', 'v' || p.version, p.seq, nullif('v' || (p.version - 1), 'v0'), 'v' || p.version, 'planner',
           coalesce(p.plan ->> 'reason', ''), p.plan
    FROM gatepost.plan p WHERE p.run_id = %(run_id)s
    UNION ALL
    SELECT s.at, 3, 'step', s.step_id, s.seq,
           coalesce(lag(s.status) OVER (PARTITION BY s.step_id ORDER BY s.seq)::text, 'pending'), s.status::text,
           (SELECT t.actor FROM gatepost.transition t WHERE t.run_id = s.run_id AND t.seq = s.seq),
           coalesce(s.record ->> 'reason', ''), s.record
    FROM gatepost.step s WHERE s.run_id = %(run_id)s
    UNION ALL
    SELECT a.opened_at, 4, 'approval', a.approval_id, a.opened_seq, NULL, 'open', 'policy_gate',
           coalesce(a.request ->> 'reasons', ''), a.request
    FROM gatepost.approval a WHERE a.run_id = %(run_id)s
    UNION ALL
    SELECT d.at, 5, 'decision', a.approval_id, NULL, 'open', d.type, d.principal, d.comment,
           json_build_object('channel', d.channel, 'authenticated', d.authenticated, 'args', d.args, 'digest', d.digest,
                             'on_behalf_of', d.on_behalf_of,
                             'step', a.step_id, 'policies', coalesce(a.request -> 'policies', '[]'),
                             'policy_version', a.request ->> 'policy_version')
    FROM gatepost.decision d JOIN gatepost.approval a USING (approval_id) WHERE a.run_id = %(run_id)s
    UNION ALL
    SELECT v.at, 5, 'vote', a.approval_id, NULL, 'open', v.type, v.principal, v.comment,
           json_build_object('counted_as', v.counted_as, 'roles', v.roles, 'via', v.via, 'args', v.args,
                             'digest', v.digest, 'level', v.level)
    FROM gatepost.vote v JOIN gatepost.approval a USING (approval_id) WHERE a.run_id = %(run_id)s
    UNION ALL
    SELECT e.at, 5, 'approval', a.approval_id, NULL, 'open', e.kind, e.actor, e.reason, '{}'::json
    FROM gatepost.approval_event e JOIN gatepost.approval a USING (approval_id) WHERE a.run_id = %(run_id)s
    UNION ALL
    SELECT a.closed_at, 5, 'approval', a.approval_id, NULL,
           CASE WHEN EXISTS (SELECT FROM gatepost.decision d WHERE d.approval_id = a.approval_id) THEN 'decided' ELSE 'open' END,
           'void', 'policy_gate', 'no longer asked, and whatever was answered covers nothing', '{}'::json
    FROM gatepost.approval a
    WHERE a.run_id = %(run_id)s AND a.status = 'void' AND NOT EXISTS (
        SELECT FROM gatepost.approval_event e WHERE e.approval_id = a.approval_id AND e.kind = 'withdrawn')
    UNION ALL
    SELECT e.intended_at, 6, 'effect', e.key, NULL, NULL, 'intended', 'executor', e.tool,
           json_build_object('step', e.step_id, 'arguments', e.arguments, 'approval', e.approval_id)
    FROM gatepost.effect e WHERE e.run_id = %(run_id)s
    UNION ALL
    SELECT e.finished_at, 7, 'effect', e.key, NULL, 'intended', e.state::text, 'executor', e.tool,
           json_build_object('step', e.step_id, 'attempts', e.attempts, 'result', e.result, 'failure', e.failure)
    FROM gatepost.effect e WHERE e.run_id = %(run_id)s AND e.finished_at IS NOT NULL
    UNION ALL
    SELECT f.at, 8, 'artifact', f.name, f.seq, NULL, 'v' || f.version, f.step_id, f.sha256,
           json_build_object('media_type', f.media_type, 'parents', f.parents)
    FROM gatepost.artifact f WHERE f.run_id = %(run_id)s
    UNION ALL
    SELECT i.at, 9, 'intervention', i.kind, NULL, NULL, i.kind, i.actor, i.reason, '{}'::json
    FROM gatepost.intervention i WHERE i.run_id = %(run_id)s
) AS event
ORDER BY at, rank, seq, id;

-- name: told
-- What operators had the gate told in a stretch of transitions.
SELECT kind, actor, reason, data, taken_seq AS seq FROM gatepost.intervention
WHERE run_id = %(run_id)s AND taken_seq = ANY(%(seqs)s) AND data IS NOT NULL ORDER BY number;
