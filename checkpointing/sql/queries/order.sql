-- name: give
-- An order to a run of the tenant: who held it, and how it stands now.
SELECT r.owner, r.finished_at,
       gatepost.give_order(r.run_id, %(ordered)s, %(actor)s, %(why)s) AS after
FROM gatepost.run r WHERE r.run_id = %(run_id)s AND r.tenant = %(tenant)s;

-- name: take_back
-- Let a run of the tenant that was held or given up go on.
SELECT r.status AS before, CASE WHEN r.status IN ('held', 'stranded', 'timed_out', 'compensation_failed')
       THEN gatepost.take_back(r.run_id, %(actor)s, %(why)s) ELSE r.status END AS after
FROM gatepost.run r WHERE r.run_id = %(run_id)s AND r.tenant = %(tenant)s;

-- name: instruct
-- Tell the gate of a run of the tenant something, where the run still stands so: how it stood, and how it stands now.
SELECT r.owner, r.seq, r.status AS before,
       gatepost.instruct(r.run_id, %(stands)s::gatepost.run_status[], %(kind)s, %(actor)s, %(why)s, %(data)s) AS after
FROM gatepost.run r WHERE r.run_id = %(run_id)s AND r.tenant = %(tenant)s;

-- name: untaken
-- What the gate of a run is still to be told, in the order in which it was said.
SELECT number, kind, actor, reason, data FROM gatepost.intervention
WHERE run_id = %(run_id)s AND data IS NOT NULL AND taken_seq IS NULL ORDER BY number;

-- name: given_up
-- Runs of these workflows that movers gave up, and that nobody has done anything about since.
SELECT r.run_id, r.tenant, r.workflow FROM gatepost.run r
WHERE r.status = 'stranded' AND r.workflow = ANY(%(workflows)s)
  AND (SELECT i.kind FROM gatepost.intervention i WHERE i.run_id = r.run_id ORDER BY i.number DESC LIMIT 1) = 'strand'
  AND NOT EXISTS (SELECT FROM gatepost.intervention i WHERE i.run_id = r.run_id AND i.actor = 'policy');
