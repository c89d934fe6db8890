-- Rules that cost a superstep nothing.
--
-- A CHECK of a table is read from the catalogue and compiled again by every statement that writes to it, whatever it
-- writes: those of gatepost.run and gatepost.effect were a fifth of the server's work for an effect step, and foreign
-- keys to the run another fourteenth. The rules stay. They are looked at where what they speak of is written.

-- The run. A transition that leaves the status as it is writes only its number and the time, so no rule is asked.
ALTER TABLE gatepost.run
    DROP CONSTRAINT run_final_is_finished, DROP CONSTRAINT run_owned_has_lease, DROP CONSTRAINT run_ordered_check,
    DROP CONSTRAINT run_fork_has_parent, DROP CONSTRAINT run_fork_effects_check, DROP CONSTRAINT run_traceparent_check;

CREATE FUNCTION gatepost.check_run() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken constant text := CASE
        WHEN (NEW.status IN ('succeeded', 'rejected', 'failed', 'compensated', 'cancelled'))
             <> (NEW.finished_at IS NOT NULL) THEN 'run_final_is_finished'
        WHEN (NEW.owner IS NULL) <> (NEW.lease_expires_at IS NULL) THEN 'run_owned_has_lease'
        WHEN NEW.ordered NOT IN ('cancel', 'hold', 'instruct') THEN 'run_ordered_check'
        WHEN (NEW.parent_run_id IS NULL) <> (NEW.parent_seq IS NULL)
             OR (NEW.parent_run_id IS NULL) <> (NEW.fork_effects IS NULL) THEN 'run_fork_has_parent'
        WHEN NEW.fork_effects NOT IN ('reuse', 'dry-run', 'fire') THEN 'run_fork_effects_check'
        WHEN length(NEW.traceparent) > 100 THEN 'run_traceparent_check'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'run % would break the rule %', NEW.run_id, broken
            USING ERRCODE = 'check_violation', CONSTRAINT = broken, SCHEMA = 'gatepost', TABLE = 'run';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER run_checked
BEFORE INSERT OR UPDATE OF status, finished_at, owner, lease_expires_at, ordered, parent_run_id, parent_seq,
    fork_effects, traceparent
ON gatepost.run FOR EACH ROW EXECUTE FUNCTION gatepost.check_run();

-- The effect. Words that never change are types of their own, which are asked when they are written; and a range of
-- an enum is a shorter rule than a list of its members (tests hold the order).
CREATE DOMAIN gatepost.effect_class AS text
    CONSTRAINT effect_class_check CHECK (VALUE IN ('read', 'write', 'irreversible'));
CREATE DOMAIN gatepost.on_doubt AS text
    CONSTRAINT on_doubt_check CHECK (VALUE IN ('retry', 'lookup', 'transaction', 'ask'));
CREATE DOMAIN gatepost.purpose AS text
    CONSTRAINT purpose_check CHECK (VALUE IN ('run', 'compensate'));
GRANT USAGE ON TYPE gatepost.effect_class, gatepost.on_doubt, gatepost.purpose TO gatepost_app;

ALTER TABLE gatepost.effect
    DROP CONSTRAINT effect_effect_class_check, DROP CONSTRAINT effect_on_doubt_check,
    DROP CONSTRAINT effect_purpose_check, DROP CONSTRAINT effect_known_is_finished,
    ALTER COLUMN effect_class TYPE gatepost.effect_class,
    ALTER COLUMN on_doubt TYPE gatepost.on_doubt,
    ALTER COLUMN purpose TYPE gatepost.purpose,
    ADD CONSTRAINT effect_known_is_finished
        CHECK ((state BETWEEN 'succeeded' AND 'failed') = (finished_at IS NOT NULL));

-- A run's steps, transitions and effects. Whoever writes one has made the run, or locked it, in the same transaction:
-- the fence is an UPDATE of its row, or a lock on it, and a run that is being deleted waits for it. That is what the
-- keys proved again, row by row; a run that is deleted takes its rows along as before.
ALTER TABLE gatepost.step DROP CONSTRAINT step_run_id_fkey;
ALTER TABLE gatepost.transition DROP CONSTRAINT transition_run_id_fkey;
ALTER TABLE gatepost.effect DROP CONSTRAINT effect_run_id_fkey;

CREATE FUNCTION gatepost.forget_run() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM gatepost.step WHERE run_id = OLD.run_id;
    DELETE FROM gatepost.transition WHERE run_id = OLD.run_id;
    DELETE FROM gatepost.effect WHERE run_id = OLD.run_id;
    RETURN NULL;
END $$;

CREATE TRIGGER run_deleted AFTER DELETE ON gatepost.run FOR EACH ROW EXECUTE FUNCTION gatepost.forget_run();

-- As before; and a run whose status stays has only its number and its time written.
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
    INSERT INTO gatepost.transition (run_id, seq, at, source, nodes, next, status, reason, actor, epoch, checkpoint_id)
    SELECT s.run_id, s.seq, moment, s.source, s.nodes, s.next, s.status, s.reason, s.actor, s.epoch, s.checkpoint_id
    FROM json_to_recordset(p_supersteps) AS s (
        run_id text, epoch bigint, seq bigint, status gatepost.run_status, reason text, source text, nodes text[],
        next text[], actor text, checkpoint_id text);
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
