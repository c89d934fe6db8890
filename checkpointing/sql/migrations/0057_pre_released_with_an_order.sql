-- As before; but a run whose graph has come to its end goes on where an operator has said what is to become of it, and it
-- was held before anybody heard.
CREATE OR REPLACE FUNCTION gatepost.take_back(p_run_id text, p_actor text, p_why text) RETURNS gatepost.run_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found gatepost.run;
    last gatepost.transition;
    told boolean;
    after gatepost.run_status;
BEGIN
    SELECT * INTO STRICT found FROM gatepost.run WHERE run_id = p_run_id FOR NO KEY UPDATE;
    SELECT * INTO last FROM gatepost.transition WHERE run_id = p_run_id AND seq = found.seq;
    told := EXISTS (SELECT FROM gatepost.intervention i
                    WHERE i.run_id = p_run_id AND i.data IS NOT NULL AND i.taken_seq IS NULL);
    IF found.seq > 0 AND last.next = '{}' AND NOT told THEN
        RETURN NULL;
    END IF;
    after := CASE WHEN last.status = 'blocked' AND NOT told AND NOT EXISTS (
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
