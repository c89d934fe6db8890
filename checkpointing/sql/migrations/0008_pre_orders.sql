-- Orders of an operator: hold a run, let it go on, call it off.
--
-- A run that nobody holds obeys at once. A run that somebody moves is told: its owner finds the order with its next
-- heartbeat, stops at the next superstep, and letting go carries it out. Where the owner has died, a mover does, as
-- soon as its lease has run out. What is under way is never cut off by an order, so nothing becomes doubtful by it.

ALTER TABLE gatepost.run
    ADD COLUMN ordered text CHECK (ordered IN ('cancel', 'hold')),
    ADD COLUMN ordered_by text,
    ADD COLUMN ordered_why text;
COMMENT ON COLUMN gatepost.run.ordered IS 'what the owner is to do at its next superstep; null once it is done';
CREATE INDEX run_ordered ON gatepost.run (run_id) WHERE ordered IS NOT NULL;
GRANT UPDATE (ordered, ordered_by, ordered_why) ON gatepost.run TO gatepost_app;

-- Carry out the order of a run that nobody moves; whoever calls this holds its row.
CREATE FUNCTION gatepost.obey(p_run_id text) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := gatepost.now();
    found gatepost.run;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    IF found.finished_at IS NOT NULL OR found.ordered IS NULL THEN
        UPDATE gatepost.run SET ordered = NULL, ordered_by = NULL, ordered_why = NULL WHERE run_id = p_run_id;
        RETURN found.status;
    END IF;
    IF found.ordered = 'cancel' THEN
        INSERT INTO gatepost.transition (run_id, seq, at, source, nodes, next, status, reason, actor, epoch)
        VALUES (p_run_id, found.seq + 1, moment, 'operator', '{}', '{}', 'cancelled', found.ordered_why, found.ordered_by,
                found.epoch);
        UPDATE gatepost.effect SET state = 'in_doubt' WHERE run_id = p_run_id AND state = 'intended';
        UPDATE gatepost.approval SET status = 'void', closed_at = moment WHERE run_id = p_run_id AND status = 'open';
        -- A step whose call may have happened is in doubt, and stays so; the others had not begun.
        INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record)
        SELECT p_run_id, found.seq + 1, s.step_id, s.after, moment,
               (s.record::jsonb || jsonb_build_object('status', s.after, 'reason', 'the run was cancelled'))::json
        FROM (
            SELECT DISTINCT ON (l.step_id) l.step_id, l.record, l.status,
                   CASE WHEN l.status = 'running' AND EXISTS (
                       SELECT FROM gatepost.effect e
                       WHERE e.run_id = p_run_id AND e.step_id = l.step_id AND e.state = 'in_doubt'
                   ) THEN 'in_doubt' ELSE 'cancelled' END::gatepost.step_status AS after
            FROM gatepost.step l WHERE l.run_id = p_run_id ORDER BY l.step_id, l.seq DESC
        ) AS s
        WHERE s.status IN ('ready', 'blocked', 'running', 'waiting');
    END IF;
    UPDATE gatepost.run SET
        status = CASE found.ordered WHEN 'cancel' THEN 'cancelled' ELSE 'held' END::gatepost.run_status,
        seq = CASE found.ordered WHEN 'cancel' THEN seq + 1 ELSE seq END,
        finished_at = CASE found.ordered WHEN 'cancel' THEN moment END,
        reason = found.ordered_why, updated_at = moment, owner = NULL, lease_expires_at = NULL,
        wake_at = NULL, wake_reason = NULL, ordered = NULL, ordered_by = NULL, ordered_why = NULL
    WHERE run_id = p_run_id;
    RETURN CASE found.ordered WHEN 'cancel' THEN 'cancelled' ELSE 'held' END;
END $$;

-- Give an order. Gives the status in which the run stands then; an owner that is told has not obeyed yet.
CREATE FUNCTION gatepost.give_order(p_run_id text, p_ordered text, p_actor text, p_why text)
RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found gatepost.run;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    IF found.finished_at IS NOT NULL THEN
        RETURN found.status;
    END IF;
    INSERT INTO gatepost.intervention (run_id, kind, actor, reason) VALUES (p_run_id, p_ordered, p_actor, p_why);
    UPDATE gatepost.run SET ordered = p_ordered, ordered_by = p_actor, ordered_why = p_why WHERE run_id = p_run_id;
    IF found.owner IS NOT NULL AND found.lease_expires_at > gatepost.now() THEN
        RETURN found.status;
    END IF;
    RETURN gatepost.obey(p_run_id);
END $$;

-- Let a held or stranded run go on where it was. Null when there is nowhere to go on: its graph has come to its end.
CREATE FUNCTION gatepost.take_back(p_run_id text, p_actor text, p_why text) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found gatepost.run;
    last gatepost.transition;
    after gatepost.run_status;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    SELECT * INTO last FROM gatepost.transition WHERE run_id = p_run_id AND seq = found.seq;
    IF found.seq > 0 AND last.next = '{}' THEN
        RETURN NULL;
    END IF;
    after := CASE WHEN last.status = 'blocked' AND NOT EXISTS (
        SELECT FROM gatepost.approval a
        WHERE a.run_id = p_run_id AND a.status = 'decided' AND a.taken_seq IS NULL
    ) THEN 'blocked' ELSE 'queued' END;
    INSERT INTO gatepost.intervention (run_id, kind, actor, reason) VALUES (p_run_id, 'release', p_actor, p_why);
    UPDATE gatepost.run SET
        status = after, reason = coalesce(nullif(p_why, ''), 'released'), updated_at = gatepost.now(),
        setbacks = 0, trouble = NULL, ordered = NULL, ordered_by = NULL, ordered_why = NULL
    WHERE run_id = p_run_id;
    RETURN after;
END $$;

-- As before, and then the order that was given meanwhile is carried out.
CREATE OR REPLACE FUNCTION gatepost.let_go(
    p_run_id text, p_epoch bigint, p_wake_at timestamptz DEFAULT NULL, p_wake_reason text DEFAULT NULL,
    p_trouble text DEFAULT NULL, p_patience integer DEFAULT NULL
) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := gatepost.now();
    held gatepost.run;
    after gatepost.run_status;
    failed integer;
    wake timestamptz;
    wake_why text;
BEGIN
    SELECT * INTO held FROM gatepost.run WHERE run_id = p_run_id AND epoch = p_epoch FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF held.ordered IS NOT NULL THEN
        UPDATE gatepost.run SET owner = NULL, lease_expires_at = NULL WHERE run_id = p_run_id;
        RETURN gatepost.obey(p_run_id);
    END IF;
    after := held.status;
    IF held.status = 'running' OR (held.status = 'blocked' AND EXISTS (
        SELECT FROM gatepost.approval a
        WHERE a.run_id = p_run_id AND a.status = 'decided' AND a.taken_seq IS NULL
    )) THEN
        after := 'queued';
    END IF;
    failed := CASE WHEN held.setback_seq = held.seq THEN held.setbacks ELSE 0 END;
    IF after = 'queued' AND p_trouble IS NOT NULL THEN
        failed := failed + 1;
        wake := moment + least(power(2, failed - 1), 60) * interval '1 second';
        wake_why := 'tried again after a failure: ' || p_trouble;
    ELSIF after = 'waiting' THEN
        wake := coalesce(p_wake_at, held.wake_at);
        wake_why := coalesce(p_wake_reason, held.wake_reason);
    ELSIF held.status = 'queued' THEN -- an answer came meanwhile, and whoever gave it may be about to go on
        wake := held.wake_at;
        wake_why := held.wake_reason;
    END IF;
    IF after = 'queued' AND p_trouble IS NOT NULL AND failed >= p_patience THEN
        PERFORM gatepost.strand(p_run_id, failed, p_trouble);
        RETURN 'stranded';
    END IF;
    UPDATE gatepost.run SET
        owner = NULL, lease_expires_at = NULL, updated_at = moment, status = after,
        wake_at = wake, wake_reason = wake_why,
        setbacks = failed, setback_seq = held.seq, trouble = coalesce(p_trouble, CASE WHEN failed > 0 THEN trouble END)
    WHERE run_id = p_run_id;
    RETURN after;
END $$;

GRANT EXECUTE ON FUNCTION gatepost.obey, gatepost.give_order, gatepost.take_back TO gatepost_app;
