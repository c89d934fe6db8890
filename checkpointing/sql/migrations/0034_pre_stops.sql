-- Stops that lost something.

-- As before; and a call that waited with a doubt is in doubt when its run is called off, one that certainly did nothing
-- has failed.
CREATE OR REPLACE FUNCTION gatepost.obey_stop(p_run_id text) RETURNS gatepost.run_status
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
        UPDATE gatepost.effect SET state = 'failed', finished_at = moment
        WHERE run_id = p_run_id AND state = 'intended' AND cleared;
        UPDATE gatepost.effect SET state = 'in_doubt' WHERE run_id = p_run_id AND state = 'intended';
        UPDATE gatepost.approval SET status = 'void', closed_at = moment WHERE run_id = p_run_id AND status = 'open';
        -- A step whose call may have happened is in doubt, and stays so; the others had not begun.
        INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record)
        SELECT p_run_id, found.seq + 1, s.step_id, s.after, moment,
               (s.record::jsonb || jsonb_build_object('status', s.after, 'reason', 'the run was cancelled'))::json
        FROM (
            SELECT DISTINCT ON (l.step_id) l.step_id, l.record, l.status,
                   CASE WHEN l.status IN ('running', 'waiting') AND EXISTS (
                       SELECT FROM gatepost.effect e
                       WHERE e.run_id = p_run_id AND e.step_id = l.step_id AND e.purpose = 'run' AND e.state = 'in_doubt'
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

-- As before; and a run that is still to be told something goes into the queue, whatever it waits for.
CREATE OR REPLACE FUNCTION gatepost.take_back(p_run_id text, p_actor text, p_why text) RETURNS gatepost.run_status
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
    ) AND NOT EXISTS (
        SELECT FROM gatepost.intervention i
        WHERE i.run_id = p_run_id AND i.data IS NOT NULL AND i.taken_seq IS NULL
    ) THEN 'blocked' ELSE 'queued' END;
    INSERT INTO gatepost.intervention (run_id, kind, actor, reason) VALUES (p_run_id, 'release', p_actor, p_why);
    UPDATE gatepost.run SET
        status = after, reason = coalesce(nullif(p_why, ''), 'released'), updated_at = gatepost.now(),
        setbacks = 0, trouble = NULL, ordered = NULL, ordered_by = NULL, ordered_why = NULL
    WHERE run_id = p_run_id;
    RETURN after;
END $$;

-- As before; and an answer that came while a sibling ran does not wait for the sibling's timer.
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
    IF held.status = 'running' OR (held.status IN ('blocked', 'waiting') AND EXISTS (
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

-- As before; and a run that has just ended, and whose owner has not let go of it yet, is not told to stop: it goes on.
CREATE OR REPLACE FUNCTION gatepost.instruct(
    p_run_id text, p_from gatepost.run_status[], p_kind text, p_actor text, p_why text, p_data json
) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found gatepost.run;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    IF found.status <> ALL (p_from) OR found.seq = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO gatepost.intervention (run_id, kind, actor, reason, data)
    VALUES (p_run_id, p_kind, p_actor, p_why, (p_data::jsonb || jsonb_build_object('stood', found.status))::json);
    IF found.finished_at IS NULL AND found.owner IS NOT NULL AND found.lease_expires_at > gatepost.now() THEN
        UPDATE gatepost.run SET ordered = coalesce(ordered, 'instruct'), ordered_by = coalesce(ordered_by, p_actor),
            ordered_why = coalesce(ordered_why, p_why)
        WHERE run_id = p_run_id;
        RETURN found.status;
    END IF;
    RETURN gatepost.queue_again(p_run_id, format('%s by %s', p_kind, p_actor));
END $$;
