-- Who moves a run next: one row for every run that has not ended, and a word for who it is.
--
--   owner      somebody moves it now, under a lease that lasts until then
--   queue      any mover takes it at its next look
--   timer      a mover takes it then, and not before
--   approval   a person answers, until then if there is a limit
--   event      something outside is awaited
--   operator   it is parked; somebody has to say what becomes of it
--   nobody     nothing would ever move it: an alarm, whatever led to it
--
-- `queue` is exactly what the claim query of mover.sql takes; a test holds the two together.

CREATE VIEW gatepost.next_mover WITH (security_invoker = true) AS
WITH moment AS MATERIALIZED (SELECT gatepost.now() AS now)
SELECT r.run_id, r.tenant, r.workflow, r.status, mover.kind, mover.until, mover.detail, r.priority, r.created_at,
       r.updated_at
FROM moment CROSS JOIN gatepost.run r
LEFT JOIN LATERAL (
    SELECT bool_or(a.status = 'decided' AND a.taken_seq IS NULL) AS answered,
           bool_or(a.status = 'open' AND a.decide_by <= moment.now) AS late,
           string_agg(a.approval_id, ', ' ORDER BY a.opened_at, a.approval_id) FILTER (WHERE a.status = 'open') AS open,
           min(a.decide_by) FILTER (WHERE a.status = 'open') AS until
    FROM gatepost.approval a WHERE a.run_id = r.run_id
) AS asked ON r.status = 'blocked'
CROSS JOIN LATERAL (
    SELECT * FROM (VALUES
        (1, r.owner IS NOT NULL AND r.lease_expires_at > moment.now, 'owner', r.lease_expires_at, r.owner),
        (2, r.status IN ('held', 'timed_out', 'compensation_failed', 'stranded'), 'operator', NULL, r.reason),
        (3, r.status IN ('queued', 'running', 'waiting') AND r.wake_at > moment.now, 'timer', r.wake_at, r.wake_reason),
        (4, r.status IN ('queued', 'running'), 'queue', NULL, r.reason),
        (5, r.status = 'waiting' AND r.wake_at IS NOT NULL, 'queue', NULL, r.wake_reason),
        (6, r.status = 'waiting' AND r.owner IS NOT NULL, 'queue', NULL, 'its owner died before it set the time'),
        (7, r.status = 'waiting' AND r.wake_reason IS NOT NULL, 'event', NULL, r.wake_reason),
        (8, r.status = 'blocked' AND asked.answered, 'queue', NULL, 'its question is answered'),
        (9, r.status = 'blocked' AND asked.late, 'queue', NULL, 'nobody answered in time'),
        (10, r.status = 'blocked' AND asked.open IS NOT NULL, 'approval', asked.until, asked.open),
        (11, true, 'nobody', NULL, r.reason)
    ) AS candidate (rank, holds, kind, until, detail)
    WHERE candidate.holds ORDER BY rank LIMIT 1
) AS mover
WHERE r.finished_at IS NULL;

GRANT SELECT ON gatepost.next_mover TO gatepost_app;

-- Where a mover finds the runs that ended their owners before, few among many.
CREATE INDEX run_suspect ON gatepost.run (priority DESC, created_at, run_id)
    WHERE status IN ('queued', 'running') AND setbacks > 0;
