-- Impact: what a yes to a question would set going, as it is by now.
--
-- It is part of the request as that was asked. Where the plan or what is known of it changes, the newer one is here: the
-- request itself is never changed, and no digest covers either of them.

ALTER TABLE gatepost.approval ADD COLUMN impact json;
COMMENT ON COLUMN gatepost.approval.impact IS 'what a yes would set going, where that is another by now than when it was asked; binds nothing';
GRANT UPDATE (impact) ON gatepost.approval TO gatepost_app;

-- As before, and what open questions show.
CREATE OR REPLACE FUNCTION gatepost.write_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM gatepost.write_records(p_run_id, p_epoch, p_seq, p_rows);
    IF p_rows -> 'heard' IS NOT NULL THEN
        UPDATE gatepost.intervention i SET taken_seq = p_seq
        FROM json_to_recordset(p_rows -> 'heard') AS r (number bigint)
        WHERE i.number = r.number AND i.run_id = p_run_id AND i.taken_seq IS NULL;
    END IF;
    IF p_rows -> 'impact' IS NOT NULL THEN
        UPDATE gatepost.approval a SET impact = r.impact
        FROM json_to_recordset(p_rows -> 'impact') AS r (approval_id text, impact json)
        WHERE a.approval_id = r.approval_id AND a.run_id = p_run_id AND a.status = 'open';
    END IF;
END $$;
