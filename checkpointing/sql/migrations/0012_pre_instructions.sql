-- Instructions: what an operator tells the gate of a run, which hears it at its next visit.
--
-- An instruction is an intervention with data. It is written with the run's way back into the queue in one transaction;
-- the next owner hands it to the gate in a superstep that also marks it as taken, so it is carried out once. A run that
-- somebody moves is told to stop at its next superstep, and is queued then.

ALTER TABLE gatepost.intervention ADD COLUMN data json, ADD COLUMN taken_seq bigint;
COMMENT ON COLUMN gatepost.intervention.data IS 'for an instruction: what the gate is told, and how the run stood; null where nothing is';
COMMENT ON COLUMN gatepost.intervention.taken_seq IS 'the transition in which the gate was told; 0: never, the run ended first';
CREATE INDEX intervention_untaken ON gatepost.intervention (run_id, number) WHERE data IS NOT NULL AND taken_seq IS NULL;
GRANT UPDATE (taken_seq) ON gatepost.intervention TO gatepost_app;

ALTER TABLE gatepost.run DROP CONSTRAINT run_ordered_check;
ALTER TABLE gatepost.run ADD CONSTRAINT run_ordered_check CHECK (ordered IN ('cancel', 'hold', 'instruct'));

-- A run goes on: nobody has given it up, and it has not ended.
CREATE FUNCTION gatepost.queue_again(p_run_id text, p_why text) RETURNS gatepost.run_status
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    UPDATE gatepost.run SET
        status = 'queued', reason = p_why, updated_at = gatepost.now(), finished_at = NULL,
        owner = NULL, lease_expires_at = NULL, wake_at = NULL, wake_reason = NULL, setbacks = 0, trouble = NULL,
        ordered = NULL, ordered_by = NULL, ordered_why = NULL
    WHERE run_id = p_run_id RETURNING status
$$;

-- Give an instruction to a run that still stands as one of p_from. Gives the status in which it stands then (an owner
-- that is told has not stopped yet); null where it stands otherwise, or has not begun.
CREATE FUNCTION gatepost.instruct(
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
    IF found.owner IS NOT NULL AND found.lease_expires_at > gatepost.now() THEN
        UPDATE gatepost.run SET ordered = coalesce(ordered, 'instruct'), ordered_by = coalesce(ordered_by, p_actor),
            ordered_why = coalesce(ordered_why, p_why)
        WHERE run_id = p_run_id;
        RETURN found.status;
    END IF;
    RETURN gatepost.queue_again(p_run_id, format('%s by %s', p_kind, p_actor));
END $$;

-- As before; and a run that is to be told something goes into the queue. Where it has ended, nobody is told any more.
ALTER FUNCTION gatepost.obey RENAME TO obey_stop;
CREATE FUNCTION gatepost.obey(p_run_id text) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found gatepost.run;
    after gatepost.run_status;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    IF found.ordered = 'instruct' AND found.finished_at IS NULL THEN
        RETURN gatepost.queue_again(p_run_id, format('told by %s', found.ordered_by));
    END IF;
    after := gatepost.obey_stop(p_run_id);
    IF found.finished_at IS NOT NULL OR found.ordered = 'cancel' THEN
        UPDATE gatepost.intervention SET taken_seq = 0
        WHERE run_id = p_run_id AND data IS NOT NULL AND taken_seq IS NULL;
    END IF;
    RETURN after;
END $$;

-- As before, and the instructions that the gate was told.
ALTER FUNCTION gatepost.write_rows RENAME TO write_records;
CREATE FUNCTION gatepost.write_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM gatepost.write_records(p_run_id, p_epoch, p_seq, p_rows);
    IF p_rows -> 'heard' IS NOT NULL THEN
        UPDATE gatepost.intervention i SET taken_seq = p_seq
        FROM json_to_recordset(p_rows -> 'heard') AS r (number bigint)
        WHERE i.number = r.number AND i.run_id = p_run_id AND i.taken_seq IS NULL;
    END IF;
END $$;

GRANT EXECUTE ON FUNCTION gatepost.queue_again, gatepost.instruct, gatepost.obey, gatepost.write_rows TO gatepost_app;
