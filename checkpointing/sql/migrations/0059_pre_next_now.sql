-- A superstep whose nodes begin while the one before it is committed cannot be told when that was: it is told what its
-- owner takes for database time, and the row says what that was, so that a replay can tell it the same.
ALTER TABLE gatepost.transition ADD COLUMN next_now timestamptz;
COMMENT ON COLUMN gatepost.transition.next_now IS
    'what the next superstep was told the time was, under the same owner; null: "at"';

-- As before, with that.
CREATE OR REPLACE FUNCTION gatepost.commit_supersteps(
    p_supersteps json, p_steps json, p_effects json, p_rest json,
    p_kept json, p_channels json, p_blobs bytea[], p_places json, p_values bytea[]
) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment constant timestamptz := gatepost.now();
    one record;
BEGIN
    FOR one IN
        SELECT * FROM json_to_recordset(p_supersteps) AS s (
            run_id text, epoch bigint, seq bigint, status gatepost.run_status, reason text, plan_version integer)
        ORDER BY s.run_id COLLATE "C"
    LOOP
        UPDATE gatepost.run r SET seq = one.seq, updated_at = moment
        WHERE r.run_id = one.run_id AND r.epoch = one.epoch AND r.owner IS NOT NULL AND r.seq = one.seq - 1
          AND r.status = one.status AND r.reason = one.reason
          AND r.plan_version = coalesce(one.plan_version, r.plan_version);
        CONTINUE WHEN FOUND;
        UPDATE gatepost.run r SET
            seq = one.seq, status = one.status, reason = one.reason,
            plan_version = coalesce(one.plan_version, r.plan_version),
            finished_at = CASE
                WHEN one.status IN ('succeeded', 'rejected', 'failed', 'compensated', 'cancelled')
                THEN coalesce(r.finished_at, moment) END,
            updated_at = moment
        WHERE r.run_id = one.run_id AND r.epoch = one.epoch AND r.owner IS NOT NULL AND r.seq = one.seq - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'run % is not held under epoch % any more', one.run_id, one.epoch
                USING ERRCODE = 'GP001';
        END IF;
    END LOOP;
    IF p_steps IS NOT NULL THEN
        INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record)
        SELECT r.run_id, r.seq, r.step_id, r.status, moment, r.record
        FROM json_to_recordset(p_steps) AS r (
            run_id text, seq bigint, step_id text, status gatepost.step_status, record json)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_effects IS NOT NULL THEN
        -- One by one: a join that was planned when the ledger was small would read all of it when it is large.
        FOR one IN
            SELECT * FROM json_to_recordset(p_effects) AS r (
                key text, state gatepost.effect_state, result json, failure json, epoch bigint)
        LOOP
            UPDATE gatepost.effect e SET
                state = one.state, result = one.result, failure = one.failure, epoch = one.epoch,
                finished_at = CASE WHEN one.state IN ('succeeded', 'failed') THEN moment END
            WHERE e.key = one.key AND e.state IN ('intended', 'in_doubt');
        END LOOP;
    END IF;
    IF p_rest IS NOT NULL THEN
        PERFORM gatepost.write_rows(r.run_id, r.epoch, r.seq, r.rows)
        FROM json_to_recordset(p_rest) AS r (run_id text, epoch bigint, seq bigint, rows json);
    END IF;
    INSERT INTO gatepost.transition
        (run_id, seq, at, source, nodes, next, status, reason, actor, epoch, checkpoint_id, next_now)
    SELECT s.run_id, s.seq, moment, s.source, s.nodes, s.next, s.status, s.reason, s.actor, s.epoch, s.checkpoint_id,
           s.next_now
    FROM json_to_recordset(p_supersteps) AS s (
        run_id text, epoch bigint, seq bigint, status gatepost.run_status, reason text, source text, nodes text[],
        next text[], actor text, checkpoint_id text, next_now timestamptz);
    IF p_channels IS NOT NULL THEN
        INSERT INTO public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
        SELECT b.run_id, '', b.channel, b.version, b.type, b.blob
        FROM ROWS FROM (
            json_to_recordset(p_channels) AS (run_id text, channel text, version text, type text), unnest(p_blobs)
        ) AS b (run_id, channel, version, type, blob)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_kept IS NOT NULL THEN
        INSERT INTO public.checkpoints
            (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
        SELECT k.run_id, '', k.checkpoint_id, k.parent, k.checkpoint, k.metadata
        FROM json_to_recordset(p_kept) AS k (
            run_id text, checkpoint_id text, parent text, checkpoint jsonb, metadata jsonb);
    END IF;
    IF p_places IS NOT NULL THEN
        INSERT INTO gatepost.position AS held
            (run_id, seq, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, type, channel_values)
        SELECT p.run_id, p.seq, p.checkpoint_id, p.parent, p.checkpoint, p.metadata, p.type, p.value
        FROM ROWS FROM (
            json_to_recordset(p_places) AS (
                run_id text, seq bigint, checkpoint_id text, parent text, checkpoint jsonb, metadata jsonb, type text),
            unnest(p_values)
        ) AS p (run_id, seq, checkpoint_id, parent, checkpoint, metadata, type, value)
        ON CONFLICT (run_id) DO UPDATE SET
            seq = EXCLUDED.seq, checkpoint_id = EXCLUDED.checkpoint_id,
            parent_checkpoint_id = EXCLUDED.parent_checkpoint_id, checkpoint = EXCLUDED.checkpoint,
            metadata = EXCLUDED.metadata, type = EXCLUDED.type, channel_values = EXCLUDED.channel_values;
    END IF;
    RETURN moment;
END $$;
