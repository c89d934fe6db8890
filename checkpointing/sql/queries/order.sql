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
