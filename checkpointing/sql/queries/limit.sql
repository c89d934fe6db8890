-- name: sweep
-- Carry out that the time of questions is up: the next in the chain is asked, or the run goes on with a no. All of them,
-- or one run's; what another owner moves is left until it lets go.
WITH late AS MATERIALIZED (
    SELECT a.approval_id FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
    WHERE a.status = 'open' AND a.decide_by <= (SELECT gatepost.now()) AND r.status IN ('blocked', 'waiting')
      AND (r.owner IS NULL OR r.lease_expires_at <= (SELECT gatepost.now()))
      AND (%(run_id)s::text IS NULL OR a.run_id = %(run_id)s)
    FOR UPDATE OF r, a SKIP LOCKED
)
SELECT approval_id, gatepost.time_is_up(approval_id) AS status FROM late;
