-- What happens when nobody answers in time: the next in the chain is asked, or it is a no. Never a yes.

ALTER TABLE gatepost.approval ADD COLUMN level smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN gatepost.approval.level IS 'how often it was passed on to the next in the chain';
GRANT UPDATE (level, decide_by) ON gatepost.approval TO gatepost_app;

-- The column says what the request says, whoever writes the row.
CREATE FUNCTION gatepost.count_quorum() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    NEW.quorum := coalesce((NEW.request -> 'terms' ->> 'quorum')::smallint, NEW.quorum);
    RETURN NEW;
END $$;
CREATE TRIGGER approval_opened BEFORE INSERT ON gatepost.approval FOR EACH ROW EXECUTE FUNCTION gatepost.count_quorum();

-- Carry out that the time of a question is up. Whoever calls it holds the run's row and the question's.
CREATE FUNCTION gatepost.time_is_up(p_approval_id text) RETURNS gatepost.approval_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    moment timestamptz := gatepost.now();
    asked gatepost.approval;
    next_role text;
BEGIN
    SELECT * INTO STRICT asked FROM gatepost.approval WHERE approval_id = p_approval_id;
    IF asked.status <> 'open' OR asked.decide_by IS NULL OR asked.decide_by > moment THEN
        RETURN asked.status;
    END IF;
    next_role := asked.request -> 'terms' -> 'escalate_to' ->> asked.level::integer;
    IF next_role IS NOT NULL THEN
        UPDATE gatepost.approval SET
            level = level + 1,
            decide_by = moment + make_interval(secs => (asked.request -> 'terms' ->> 'decide_seconds')::float8)
        WHERE approval_id = p_approval_id;
        INSERT INTO gatepost.approval_event (approval_id, kind, actor, reason)
        VALUES (p_approval_id, 'escalated', 'clock',
                format('nobody decided by %s UTC; now %s is asked',
                       to_char(asked.decide_by AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), next_role));
        RETURN 'open';
    END IF;
    UPDATE gatepost.approval SET status = 'expired', closed_at = moment WHERE approval_id = p_approval_id;
    INSERT INTO gatepost.approval_event (approval_id, kind, actor, reason)
    VALUES (p_approval_id, 'expired', 'clock',
            format('nobody decided by %s UTC', to_char(asked.decide_by AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')));
    UPDATE gatepost.run SET
        status = 'queued', reason = 'nobody answered in time', owner = NULL, lease_expires_at = NULL,
        wake_at = NULL, wake_reason = NULL, updated_at = moment
    WHERE run_id = asked.run_id;
    RETURN 'expired';
END $$;
GRANT ALL ON FUNCTION gatepost.time_is_up(text) TO gatepost_app;

-- As before, and: a question whose time is up is passed on by a clock, or its run is a mover's, whatever else it
-- waits for.
CREATE OR REPLACE VIEW gatepost.next_mover WITH (security_invoker = true) AS
WITH moment AS MATERIALIZED (SELECT gatepost.now() AS now)
SELECT r.run_id, r.tenant, r.workflow, r.status, mover.kind, mover.until, mover.detail, r.priority, r.created_at,
       r.updated_at
FROM moment CROSS JOIN gatepost.run r
LEFT JOIN LATERAL (
    SELECT bool_or(a.status = 'decided' AND a.taken_seq IS NULL) AS answered,
           bool_or(a.status = 'open' AND a.decide_by <= moment.now
                   AND a.request -> 'terms' -> 'escalate_to' ->> a.level::integer IS NULL) AS late,
           bool_or(a.status = 'open' AND a.decide_by <= moment.now) AS due,
           string_agg(a.approval_id, ', ' ORDER BY a.opened_at, a.approval_id) FILTER (WHERE a.status = 'open') AS open,
           min(a.decide_by) FILTER (WHERE a.status = 'open') AS until
    FROM gatepost.approval a WHERE a.run_id = r.run_id
) AS asked ON r.status IN ('blocked', 'waiting')
CROSS JOIN LATERAL (
    SELECT * FROM (VALUES
        (1, r.owner IS NOT NULL AND r.lease_expires_at > moment.now, 'owner', r.lease_expires_at, r.owner),
        (2, r.status IN ('held', 'timed_out', 'compensation_failed', 'stranded'), 'operator', NULL, r.reason),
        (3, r.status IN ('blocked', 'waiting') AND asked.late, 'queue', NULL, 'nobody answered in time'),
        (4, r.status IN ('queued', 'running', 'waiting') AND r.wake_at > moment.now, 'timer', r.wake_at, r.wake_reason),
        (5, r.status IN ('queued', 'running'), 'queue', NULL, r.reason),
        (6, r.status = 'waiting' AND r.wake_at IS NOT NULL, 'queue', NULL, r.wake_reason),
        (7, r.status = 'waiting' AND r.owner IS NOT NULL, 'queue', NULL, 'its owner died before it set the time'),
        (8, r.status = 'waiting' AND r.wake_reason IS NOT NULL, 'event', NULL, r.wake_reason),
        (9, r.status = 'blocked' AND asked.answered, 'queue', NULL, 'its question is answered'),
        (10, r.status = 'blocked' AND asked.due, 'timer', asked.until, 'nobody answered in time; the next one is asked'),
        (11, r.status = 'blocked' AND asked.open IS NOT NULL, 'approval', asked.until, asked.open),
        (12, true, 'nobody', NULL, r.reason)
    ) AS candidate (rank, holds, kind, until, detail)
    WHERE candidate.holds ORDER BY rank LIMIT 1
) AS mover
WHERE r.finished_at IS NULL;
