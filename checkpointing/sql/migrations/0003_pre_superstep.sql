-- One superstep, one statement.
--
-- An owner writes a transition with a single call: the fence, the rows that the nodes staged, the transition and the
-- checkpoint. As eight pipelined statements the same took twice the time, nearly all of it in the client.
--
-- Where the workflow's policy keeps no checkpoint for a transition, the place that the run has reached is kept in
-- gatepost.position instead: one row a run, overwritten in place, so that a crash repeats nothing and a long run
-- leaves no trail of checkpoints. Its seq says whether it or the newest checkpoint is the later one.

CREATE TABLE gatepost.position (
    run_id text PRIMARY KEY REFERENCES gatepost.run ON DELETE CASCADE,
    seq bigint NOT NULL,
    checkpoint_id text NOT NULL,
    parent_checkpoint_id text,
    checkpoint jsonb NOT NULL,
    metadata jsonb NOT NULL,
    type text NOT NULL,
    channel_values bytea NOT NULL
) WITH (fillfactor = 40, toast_tuple_target = 8160);
COMMENT ON COLUMN gatepost.position.parent_checkpoint_id IS 'the newest checkpoint that was kept';
GRANT SELECT, INSERT, UPDATE, DELETE ON gatepost.position TO gatepost_app;

-- The fence also compares the transition's number. A COMMIT whose answer was lost may have happened: whoever repeats
-- it finds the run moved on and writes nothing twice.
CREATE OR REPLACE FUNCTION gatepost.advance(
    p_run_id text, p_epoch bigint, p_seq bigint DEFAULT NULL,
    p_status gatepost.run_status DEFAULT NULL, p_reason text DEFAULT NULL, p_plan_version integer DEFAULT NULL
) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := gatepost.now();
BEGIN
    UPDATE gatepost.run SET
        seq = coalesce(p_seq, seq),
        status = coalesce(p_status, status),
        reason = coalesce(p_reason, reason),
        plan_version = coalesce(p_plan_version, plan_version),
        finished_at = CASE
            WHEN coalesce(p_status, status) IN ('succeeded', 'rejected', 'failed', 'compensated', 'cancelled')
            THEN coalesce(finished_at, moment) END,
        updated_at = moment
    WHERE run_id = p_run_id AND epoch = p_epoch AND owner IS NOT NULL AND (p_seq IS NULL OR seq = p_seq - 1);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not held under epoch % any more', p_run_id, p_epoch USING ERRCODE = 'GP001';
    END IF;
    RETURN moment;
END $$;

-- The rows that nodes staged, by table. A row that is there already was written by an earlier attempt of the same
-- transition: a branch that was flushed while a sibling still ran.
CREATE FUNCTION gatepost.write_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_rows -> 'step' IS NOT NULL THEN
        INSERT INTO gatepost.step (run_id, seq, step_id, status, record)
        SELECT p_run_id, p_seq, r.step_id, r.status, r.record
        FROM json_to_recordset(p_rows -> 'step') AS r (step_id text, status gatepost.step_status, record json)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_rows -> 'effect' IS NOT NULL THEN
        UPDATE gatepost.effect e SET
            state = r.state, result = r.result, failure = r.failure, epoch = p_epoch,
            finished_at = CASE WHEN r.state IN ('succeeded', 'failed') THEN gatepost.now() END
        FROM json_to_recordset(p_rows -> 'effect') AS r (key text, state gatepost.effect_state, result json, failure json)
        WHERE e.key = r.key AND e.state IN ('intended', 'in_doubt');
    END IF;
    IF p_rows -> 'plan' IS NOT NULL THEN
        INSERT INTO gatepost.plan (run_id, version, seq, plan)
        SELECT p_run_id, r.version, p_seq, r.plan
        FROM json_to_recordset(p_rows -> 'plan') AS r (version integer, plan json)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_rows -> 'approval' IS NOT NULL THEN
        INSERT INTO gatepost.approval (approval_id, run_id, step_id, digest, request, decide_by, act_by, opened_seq)
        SELECT r.approval_id, p_run_id, r.step_id, r.digest, r.request, r.decide_by, r.act_by, p_seq
        FROM json_to_recordset(p_rows -> 'approval') AS r (
            approval_id text, step_id text, digest text, request json, decide_by timestamptz, act_by timestamptz)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_rows -> 'taken' IS NOT NULL THEN
        UPDATE gatepost.approval a SET taken_seq = p_seq
        FROM json_to_recordset(p_rows -> 'taken') AS r (approval_id text)
        WHERE a.approval_id = r.approval_id AND a.run_id = p_run_id;
    END IF;
    IF p_rows -> 'void' IS NOT NULL THEN
        UPDATE gatepost.approval a SET status = 'void', closed_at = coalesce(a.closed_at, gatepost.now())
        FROM json_to_recordset(p_rows -> 'void') AS r (approval_id text)
        WHERE a.approval_id = r.approval_id AND a.run_id = p_run_id AND a.status IN ('open', 'decided');
    END IF;
    IF p_rows -> 'artifact' IS NOT NULL THEN
        INSERT INTO gatepost.artifact (run_id, name, version, seq, step_id, media_type, content, sha256, parents)
        SELECT p_run_id, r.name, r.version, p_seq, r.step_id, r.media_type, r.content, r.sha256, r.parents
        FROM json_to_recordset(p_rows -> 'artifact') AS r (
            name text, version integer, step_id text, media_type text, content text, sha256 text, parents json)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- What finished tasks left while the superstep is still running: their rows, under the fence.
CREATE FUNCTION gatepost.flush_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := gatepost.advance(p_run_id, p_epoch);
BEGIN
    PERFORM gatepost.write_rows(p_run_id, p_epoch, p_seq, p_rows);
    RETURN moment;
END $$;

CREATE FUNCTION gatepost.commit_superstep(
    p_run_id text, p_epoch bigint, p_seq bigint, p_status gatepost.run_status, p_reason text, p_plan_version integer,
    p_source text, p_nodes text[], p_next text[], p_actor text, p_rows json, p_kept boolean,
    p_checkpoint_id text, p_parent text, p_checkpoint jsonb, p_metadata jsonb,
    p_channels text[], p_versions text[], p_types text[], p_blobs bytea[]
) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := gatepost.advance(p_run_id, p_epoch, p_seq, p_status, p_reason, p_plan_version);
BEGIN
    PERFORM gatepost.write_rows(p_run_id, p_epoch, p_seq, p_rows);
    INSERT INTO gatepost.transition (run_id, seq, at, source, nodes, next, status, reason, actor, epoch, checkpoint_id)
    VALUES (p_run_id, p_seq, moment, p_source, p_nodes, p_next, p_status, p_reason, p_actor, p_epoch,
            CASE WHEN p_kept THEN p_checkpoint_id END);
    IF p_kept THEN
        INSERT INTO public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
        SELECT p_run_id, '', b.channel, b.version, b.type, b.blob
        FROM unnest(p_channels, p_versions, p_types, p_blobs) AS b (channel, version, type, blob)
        ON CONFLICT DO NOTHING;
        INSERT INTO public.checkpoints
            (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
        VALUES (p_run_id, '', p_checkpoint_id, p_parent, p_checkpoint, p_metadata);
    ELSE
        INSERT INTO gatepost.position AS held
            (run_id, seq, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, type, channel_values)
        VALUES (p_run_id, p_seq, p_checkpoint_id, p_parent, p_checkpoint, p_metadata, p_types[1], p_blobs[1])
        ON CONFLICT (run_id) DO UPDATE SET
            seq = EXCLUDED.seq, checkpoint_id = EXCLUDED.checkpoint_id,
            parent_checkpoint_id = EXCLUDED.parent_checkpoint_id, checkpoint = EXCLUDED.checkpoint,
            metadata = EXCLUDED.metadata, type = EXCLUDED.type, channel_values = EXCLUDED.channel_values;
    END IF;
    RETURN moment;
END $$;

GRANT EXECUTE ON FUNCTION gatepost.write_rows, gatepost.flush_rows, gatepost.commit_superstep TO gatepost_app;
