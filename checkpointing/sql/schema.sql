-- The whole schema that the migrations make, beside LangGraph's tables and role.sql.
-- Written by: python -m gatepost.checkpointing.schema. Do not edit; write a migration.

DROP INDEX public.checkpoint_blobs_thread_id_idx;

DROP INDEX public.checkpoint_writes_thread_id_idx;

DROP INDEX public.checkpoints_thread_id_idx;

CREATE SCHEMA gatepost;

CREATE TYPE gatepost.approval_status AS ENUM (
    'open',
    'decided',
    'expired',
    'void'
);

CREATE DOMAIN gatepost.effect_class AS text
	CONSTRAINT effect_class_check CHECK ((VALUE = ANY (ARRAY['read'::text, 'write'::text, 'irreversible'::text])));

CREATE TYPE gatepost.effect_state AS ENUM (
    'intended',
    'succeeded',
    'failed',
    'in_doubt'
);

CREATE TYPE gatepost.notice_state AS ENUM (
    'pending',
    'sent',
    'dropped',
    'dead'
);

CREATE DOMAIN gatepost.on_doubt AS text
	CONSTRAINT on_doubt_check CHECK ((VALUE = ANY (ARRAY['retry'::text, 'lookup'::text, 'transaction'::text, 'ask'::text])));

CREATE DOMAIN gatepost.purpose AS text
	CONSTRAINT purpose_check CHECK ((VALUE = ANY (ARRAY['run'::text, 'compensate'::text])));

CREATE TYPE gatepost.run_status AS ENUM (
    'queued',
    'running',
    'blocked',
    'waiting',
    'held',
    'succeeded',
    'rejected',
    'failed',
    'timed_out',
    'compensated',
    'compensation_failed',
    'cancelled',
    'stranded'
);

CREATE TYPE gatepost.step_status AS ENUM (
    'pending',
    'ready',
    'blocked',
    'running',
    'waiting',
    'succeeded',
    'failed',
    'in_doubt',
    'skipped',
    'cancelled',
    'compensating',
    'compensated',
    'compensation_failed'
);

CREATE FUNCTION gatepost.advance(p_run_id text, p_epoch bigint, p_seq bigint DEFAULT NULL::bigint, p_status gatepost.run_status DEFAULT NULL::gatepost.run_status, p_reason text DEFAULT NULL::text, p_plan_version integer DEFAULT NULL::integer) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.check_run() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.commit_supersteps(p_supersteps json, p_steps json, p_effects json, p_rest json, p_kept json, p_channels json, p_blobs bytea[], p_places json, p_values bytea[]) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.count_quorum() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    NEW.quorum := coalesce((NEW.request -> 'terms' ->> 'quorum')::smallint, NEW.quorum);
    NEW.judged_under := gatepost.judged_by(NEW.request);
    RETURN NEW;
END $$;

CREATE FUNCTION gatepost.fence(p_held json) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT h.run_id, h.epoch FROM json_to_recordset(p_held) AS h (run_id text, epoch bigint)
        ORDER BY h.run_id COLLATE "C"
    LOOP
        PERFORM FROM gatepost.run r
        WHERE r.run_id = held.run_id AND r.epoch = held.epoch AND r.owner IS NOT NULL FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'run % is not held under epoch % any more', held.run_id, held.epoch
                USING ERRCODE = 'GP001';
        END IF;
    END LOOP;
    RETURN gatepost.now();
END $$;

CREATE FUNCTION gatepost.flush_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    moment timestamptz := gatepost.advance(p_run_id, p_epoch);
BEGIN
    PERFORM gatepost.write_rows(p_run_id, p_epoch, p_seq, p_rows);
    RETURN moment;
END $$;

CREATE FUNCTION gatepost.forget_run() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM gatepost.step WHERE run_id = OLD.run_id;
    DELETE FROM gatepost.transition WHERE run_id = OLD.run_id;
    DELETE FROM gatepost.effect WHERE run_id = OLD.run_id;
    RETURN NULL;
END $$;

CREATE FUNCTION gatepost.now() RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN pg_catalog.clock_timestamp()
        OPERATOR(pg_catalog.+) COALESCE((SELECT shift FROM gatepost.clock_shift), interval '0');
END $$;

CREATE TABLE gatepost.approval (
    approval_id text NOT NULL,
    run_id text NOT NULL,
    step_id text NOT NULL,
    status gatepost.approval_status DEFAULT 'open'::gatepost.approval_status NOT NULL,
    digest text NOT NULL,
    request json NOT NULL,
    quorum smallint DEFAULT 1 NOT NULL,
    decide_by timestamp with time zone,
    act_by timestamp with time zone,
    opened_seq bigint NOT NULL,
    opened_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    closed_at timestamp with time zone,
    taken_seq bigint,
    level smallint DEFAULT 0 NOT NULL,
    impact json,
    judged_under text,
    judged json,
    CONSTRAINT approval_open_is_not_closed CHECK (((status = 'open'::gatepost.approval_status) = (closed_at IS NULL)))
);

COMMENT ON COLUMN gatepost.approval.taken_seq IS 'the transition in which the run took the answer; null while it has not';

COMMENT ON COLUMN gatepost.approval.level IS 'how often it was passed on to the next in the chain';

COMMENT ON COLUMN gatepost.approval.impact IS 'what a yes would set going, where that is another by now than when it was asked; binds nothing';

COMMENT ON COLUMN gatepost.approval.judged_under IS 'version of the policy that asks; null where no policy does';

COMMENT ON COLUMN gatepost.approval.judged IS 'what a later policy said of it: version, policies, reasons; binds nothing';

CREATE FUNCTION gatepost.give_notice(p_asked gatepost.approval, p_kind text, p_due timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    INSERT INTO gatepost.notice (notice_id, tenant, run_id, approval_id, kind, level, due_at)
    SELECT 'ntc_' || left(encode(sha256(convert_to(
               concat_ws(':', p_asked.approval_id, p_kind, p_asked.level), 'UTF8')), 'hex'), 12),
           r.tenant, r.run_id, p_asked.approval_id, p_kind, p_asked.level, p_due
    FROM gatepost.run r WHERE r.run_id = p_asked.run_id AND (r.fork_effects IS NULL OR r.fork_effects = 'fire')
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION gatepost.give_order(p_run_id text, p_ordered text, p_actor text, p_why text) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.instruct(p_run_id text, p_from gatepost.run_status[], p_kind text, p_actor text, p_why text, p_data json) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.judged_by(p_request json) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN coalesce(p_request ->> 'kind', 'action') = 'action' THEN nullif(p_request ->> 'policy_version', '') END
$$;

CREATE FUNCTION gatepost.let_go(p_run_id text, p_epoch bigint, p_wake_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_wake_reason text DEFAULT NULL::text, p_trouble text DEFAULT NULL::text, p_patience integer DEFAULT NULL::integer) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.obey(p_run_id text) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.obey_stop(p_run_id text) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.queue_again(p_run_id text, p_why text) RETURNS gatepost.run_status
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    UPDATE gatepost.run SET
        status = 'queued', reason = p_why, updated_at = gatepost.now(), finished_at = NULL,
        owner = NULL, lease_expires_at = NULL, wake_at = NULL, wake_reason = NULL, setbacks = 0, trouble = NULL,
        ordered = NULL, ordered_by = NULL, ordered_why = NULL
    WHERE run_id = p_run_id RETURNING status
$$;

CREATE FUNCTION gatepost.remind_at(p_asked gatepost.approval) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT p_asked.decide_by - make_interval(secs => before.seconds)
    FROM (SELECT coalesce(
        (p_asked.request -> 'terms' ->> 'remind_seconds')::float8,
        least((p_asked.request -> 'terms' ->> 'decide_seconds')::float8 / 4, 86400)
    ) AS seconds) AS before
    WHERE before.seconds > 0
$$;

CREATE FUNCTION gatepost.ring() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_notify('gatepost_queue', NEW.run_id);
    RETURN NULL;
END $$;

CREATE FUNCTION gatepost.strand(p_run_id text, p_setbacks integer, p_trouble text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    why text;
BEGIN
    UPDATE gatepost.run SET
        owner = NULL, lease_expires_at = NULL, wake_at = NULL, wake_reason = NULL, updated_at = gatepost.now(),
        status = 'stranded', setbacks = p_setbacks, setback_seq = seq, trouble = p_trouble,
        reason = format('%s attempts in a row ended at transition %s; the last one %s', p_setbacks, seq,
                        coalesce('failed: ' || p_trouble, 'died without a word'))
    WHERE run_id = p_run_id RETURNING reason INTO why;
    INSERT INTO gatepost.intervention (run_id, kind, actor, reason) VALUES (p_run_id, 'strand', 'mover', why);
END $$;

CREATE FUNCTION gatepost.take_back(p_run_id text, p_actor text, p_why text) RETURNS gatepost.run_status
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.tell_people() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    moment timestamptz := gatepost.now();
    remind timestamptz;
BEGIN
    IF NEW.status = 'open' THEN
        PERFORM gatepost.give_notice(NEW, CASE WHEN NEW.level = 0 THEN 'asked' ELSE 'escalated' END, moment);
        remind := gatepost.remind_at(NEW);
        IF remind IS NOT NULL THEN
            PERFORM gatepost.give_notice(NEW, 'expiring', remind);
        END IF;
    ELSIF NEW.status IN ('decided', 'expired') THEN
        PERFORM gatepost.give_notice(NEW, NEW.status::text, moment);
    END IF;
    RETURN NULL;
END $$;

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

CREATE FUNCTION gatepost.write_records(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION gatepost.write_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
    IF p_rows -> 'judged' IS NOT NULL THEN
        UPDATE gatepost.approval a SET judged = r.judged, judged_under = r.judged ->> 'policy_version'
        FROM json_to_recordset(p_rows -> 'judged') AS r (approval_id text, judged json)
        WHERE a.approval_id = r.approval_id AND a.run_id = p_run_id AND a.status = 'open';
        INSERT INTO gatepost.approval_event (approval_id, kind, actor, reason)
        SELECT r.approval_id, 'judged', 'policy', format('still asked under policy %s', r.judged ->> 'policy_version')
        FROM json_to_recordset(p_rows -> 'judged') AS r (approval_id text, judged json)
        JOIN gatepost.approval a ON a.approval_id = r.approval_id AND a.run_id = p_run_id AND a.status = 'open';
    END IF;
END $$;

CREATE TABLE gatepost.answer (
    run_id text NOT NULL,
    plan_version integer NOT NULL,
    number integer NOT NULL,
    digest text NOT NULL,
    prompt json NOT NULL,
    answer json NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON TABLE gatepost.answer IS 'what a model said to a planning strategy: asked once, whatever dies after it';

COMMENT ON COLUMN gatepost.answer.plan_version IS 'the version that was being planned';

CREATE TABLE gatepost.answered_request (
    tenant text NOT NULL,
    principal text NOT NULL,
    request_key text NOT NULL,
    fingerprint text NOT NULL,
    status smallint,
    body json,
    until timestamp with time zone NOT NULL
);

COMMENT ON COLUMN gatepost.answered_request.until IS 'under way: then its process counts as dead; answered: then it is forgotten';

CREATE TABLE gatepost.api_key (
    key_id text NOT NULL,
    hash bytea NOT NULL,
    tenant text NOT NULL,
    principal text NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    scopes text[] NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    revoked_by text,
    CONSTRAINT api_key_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_key_scopes_check CHECK (((scopes <@ ARRAY['read'::text, 'start'::text, 'decide'::text, 'operate'::text]) AND (cardinality(scopes) > 0)))
);

COMMENT ON COLUMN gatepost.api_key.hash IS 'SHA-256 of the whole key, which is 256 random bits: there is nothing to guess';

CREATE TABLE gatepost.approval_event (
    number bigint NOT NULL,
    approval_id text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    CONSTRAINT approval_event_kind_check CHECK ((kind = ANY (ARRAY['comment'::text, 'refused'::text, 'escalated'::text, 'expired'::text, 'judged'::text, 'withdrawn'::text])))
);

ALTER TABLE gatepost.approval_event ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.approval_event_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE gatepost.artifact (
    run_id text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    step_id text NOT NULL,
    media_type text NOT NULL,
    content text NOT NULL,
    sha256 text NOT NULL,
    parents json NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

CREATE TABLE gatepost.breaker (
    tenant text NOT NULL,
    provider text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    open_until timestamp with time zone,
    probe_until timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    changed_at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON COLUMN gatepost.breaker.failures IS 'in a row, since the last success';

COMMENT ON COLUMN gatepost.breaker.probe_until IS 'somebody is seeing whether it is well again, and is believed to until then';

CREATE TABLE gatepost.clock_shift (
    singleton boolean DEFAULT true NOT NULL,
    shift interval NOT NULL,
    CONSTRAINT clock_shift_singleton_check CHECK (singleton)
);

CREATE TABLE gatepost.code (
    digest text NOT NULL,
    facts json NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON TABLE gatepost.code IS 'what a run was moved by: policy, declarations, fingerprints of code; once per version';

CREATE TABLE gatepost.decision (
    approval_id text NOT NULL,
    principal text NOT NULL,
    type text NOT NULL,
    comment text DEFAULT ''::text NOT NULL,
    args json,
    digest text NOT NULL,
    channel text NOT NULL,
    authenticated text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    on_behalf_of text DEFAULT ''::text NOT NULL,
    act_by timestamp with time zone,
    CONSTRAINT decision_type_check CHECK ((type = ANY (ARRAY['approve'::text, 'edit'::text, 'reject'::text, 'respond'::text])))
);

COMMENT ON COLUMN gatepost.decision.digest IS 'of the action it authorises: the approval''s own, or that of the edited arguments';

COMMENT ON COLUMN gatepost.decision.act_by IS 'how long the yes is good for';

CREATE TABLE gatepost.delegation (
    delegation_id text NOT NULL,
    tenant text NOT NULL,
    giver text NOT NULL,
    delegate text NOT NULL,
    kind text NOT NULL,
    scope text DEFAULT ''::text NOT NULL,
    passes_on boolean DEFAULT false NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    given_by text NOT NULL,
    given_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    ended_by text,
    ended_at timestamp with time zone,
    CONSTRAINT delegation_ended_by_somebody CHECK (((ended_by IS NULL) = (ended_at IS NULL))),
    CONSTRAINT delegation_has_a_scope CHECK (((kind = 'all'::text) = (scope = ''::text))),
    CONSTRAINT delegation_kind_check CHECK ((kind = ANY (ARRAY['all'::text, 'role'::text, 'workflow'::text, 'tool'::text]))),
    CONSTRAINT delegation_to_somebody_else CHECK ((giver <> delegate))
);

COMMENT ON COLUMN gatepost.delegation.passes_on IS 'whether the delegate may delegate it in turn';

CREATE TABLE gatepost.effect (
    key text NOT NULL,
    run_id text NOT NULL,
    root_run_id text NOT NULL,
    tenant text NOT NULL,
    step_id text NOT NULL,
    call_path text DEFAULT ''::text NOT NULL,
    purpose gatepost.purpose DEFAULT 'run'::text NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    tool text NOT NULL,
    tool_version text NOT NULL,
    effect_class gatepost.effect_class NOT NULL,
    on_doubt gatepost.on_doubt NOT NULL,
    fingerprint text NOT NULL,
    arguments json NOT NULL,
    approval_id text,
    state gatepost.effect_state DEFAULT 'intended'::gatepost.effect_state NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    epoch bigint NOT NULL,
    result json,
    failure json,
    intended_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    finished_at timestamp with time zone,
    attempted_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    cleared boolean DEFAULT false NOT NULL,
    not_before timestamp with time zone,
    CONSTRAINT effect_known_is_finished CHECK ((((state >= 'succeeded'::gatepost.effect_state) AND (state <= 'failed'::gatepost.effect_state)) = (finished_at IS NOT NULL)))
);

COMMENT ON COLUMN gatepost.effect.attempted_at IS 'when the last attempt was announced, just before it was made';

COMMENT ON COLUMN gatepost.effect.cleared IS 'every attempt so far certainly did nothing: a wait that dies leaves no doubt';

COMMENT ON COLUMN gatepost.effect.not_before IS 'when the next attempt may be made; set while nothing is under way';

CREATE TABLE gatepost.ended_session (
    hash bytea NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT ended_session_hash_check CHECK ((length(hash) = 32))
);

COMMENT ON COLUMN gatepost.ended_session.hash IS 'SHA-256 of what names the session in its cookie';

COMMENT ON COLUMN gatepost.ended_session.until IS 'when its cookie would have ended by itself; then it is forgotten';

CREATE TABLE gatepost.entry (
    run_id text NOT NULL,
    epoch bigint NOT NULL,
    now timestamp with time zone NOT NULL,
    status gatepost.run_status NOT NULL,
    reason text NOT NULL,
    code text NOT NULL
);

COMMENT ON TABLE gatepost.entry IS 'one owner''s hold on a run: what its first superstep saw';

CREATE TABLE gatepost.intervention (
    number bigint NOT NULL,
    run_id text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    data json,
    taken_seq bigint
);

COMMENT ON COLUMN gatepost.intervention.data IS 'for an instruction: what the gate is told, and how the run stood; null where nothing is';

COMMENT ON COLUMN gatepost.intervention.taken_seq IS 'the transition in which the gate was told; 0: never, the run ended first';

ALTER TABLE gatepost.intervention ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.intervention_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE gatepost.migration (
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT migration_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE gatepost.run (
    run_id text NOT NULL,
    tenant text NOT NULL,
    root_run_id text NOT NULL,
    requested_by text NOT NULL,
    goal text NOT NULL,
    workflow text NOT NULL,
    graph_version text NOT NULL,
    input json NOT NULL,
    fingerprint text NOT NULL,
    status gatepost.run_status DEFAULT 'queued'::gatepost.run_status NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    plan_version integer DEFAULT 0 NOT NULL,
    owner text,
    epoch bigint DEFAULT 0 NOT NULL,
    lease_expires_at timestamp with time zone,
    wake_at timestamp with time zone,
    wake_reason text,
    created_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    updated_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    finished_at timestamp with time zone,
    setbacks integer DEFAULT 0 NOT NULL,
    setback_seq bigint DEFAULT 0 NOT NULL,
    trouble text,
    ordered text,
    ordered_by text,
    ordered_why text,
    parent_run_id text,
    parent_seq bigint,
    fork_effects text,
    traceparent text
);

COMMENT ON COLUMN gatepost.run.setbacks IS 'attempts in a row that died or failed at transition setback_seq; void once seq is another';

COMMENT ON COLUMN gatepost.run.trouble IS 'what the last of them ended with; null where it died without a word';

COMMENT ON COLUMN gatepost.run.ordered IS 'what the owner is to do at its next superstep; null once it is done';

COMMENT ON COLUMN gatepost.run.parent_run_id IS 'the run that this one was forked from; null for one that was started';

COMMENT ON COLUMN gatepost.run.parent_seq IS 'the transition of it whose state this one starts from';

COMMENT ON COLUMN gatepost.run.fork_effects IS 'reuse and dry-run: nothing is called; fire: effects are made anew, each under an approval of its own';

COMMENT ON COLUMN gatepost.run.traceparent IS 'W3C trace context of whoever started it; null where nobody traced then';

CREATE VIEW gatepost.next_mover WITH (security_invoker='true') AS
 WITH moment AS MATERIALIZED (
         SELECT gatepost.now() AS now
        )
 SELECT r.run_id,
    r.tenant,
    r.workflow,
    r.status,
    mover.kind,
    mover.until,
    mover.detail,
    r.priority,
    r.created_at,
    r.updated_at
   FROM (((moment
     CROSS JOIN gatepost.run r)
     LEFT JOIN LATERAL ( SELECT bool_or(((a.status = 'decided'::gatepost.approval_status) AND (a.taken_seq IS NULL))) AS answered,
            bool_or(((a.status = 'open'::gatepost.approval_status) AND (a.decide_by <= moment.now) AND ((((a.request -> 'terms'::text) -> 'escalate_to'::text) ->> (a.level)::integer) IS NULL))) AS late,
            bool_or(((a.status = 'open'::gatepost.approval_status) AND (a.decide_by <= moment.now))) AS due,
            string_agg(a.approval_id, ', '::text ORDER BY a.opened_at, a.approval_id) FILTER (WHERE (a.status = 'open'::gatepost.approval_status)) AS open,
            min(a.decide_by) FILTER (WHERE (a.status = 'open'::gatepost.approval_status)) AS until
           FROM gatepost.approval a
          WHERE (a.run_id = r.run_id)) asked ON ((r.status = ANY (ARRAY['blocked'::gatepost.run_status, 'waiting'::gatepost.run_status]))))
     CROSS JOIN LATERAL ( SELECT candidate.rank,
            candidate.holds,
            candidate.kind,
            candidate.until,
            candidate.detail
           FROM ( VALUES (1,((r.owner IS NOT NULL) AND (r.lease_expires_at > moment.now)),'owner'::text,r.lease_expires_at,r.owner), (2,(r.status = ANY (ARRAY['held'::gatepost.run_status, 'timed_out'::gatepost.run_status, 'compensation_failed'::gatepost.run_status, 'stranded'::gatepost.run_status])),'operator'::text,NULL::timestamp with time zone,r.reason), (3,((r.status = ANY (ARRAY['blocked'::gatepost.run_status, 'waiting'::gatepost.run_status])) AND asked.late),'queue'::text,NULL::timestamp with time zone,'nobody answered in time'::text), (4,((r.status = 'waiting'::gatepost.run_status) AND asked.answered),'queue'::text,NULL::timestamp with time zone,'its question is answered'::text), (5,((r.status = ANY (ARRAY['queued'::gatepost.run_status, 'running'::gatepost.run_status, 'waiting'::gatepost.run_status])) AND (r.wake_at > moment.now)),'timer'::text,r.wake_at,r.wake_reason), (6,(r.status = ANY (ARRAY['queued'::gatepost.run_status, 'running'::gatepost.run_status])),'queue'::text,NULL::timestamp with time zone,r.reason), (7,((r.status = 'waiting'::gatepost.run_status) AND (r.wake_at IS NOT NULL)),'queue'::text,NULL::timestamp with time zone,r.wake_reason), (8,((r.status = 'waiting'::gatepost.run_status) AND (r.owner IS NOT NULL)),'queue'::text,NULL::timestamp with time zone,'its owner died before it set the time'::text), (9,((r.status = 'waiting'::gatepost.run_status) AND (r.wake_reason IS NOT NULL)),'event'::text,NULL::timestamp with time zone,r.wake_reason), (10,((r.status = 'blocked'::gatepost.run_status) AND asked.answered),'queue'::text,NULL::timestamp with time zone,'its question is answered'::text), (11,((r.status = 'blocked'::gatepost.run_status) AND asked.due),'timer'::text,asked.until,'nobody answered in time; the next one is asked'::text), (12,((r.status = 'blocked'::gatepost.run_status) AND (asked.open IS NOT NULL)),'approval'::text,asked.until,asked.open), (13,true,'nobody'::text,NULL::timestamp with time zone,r.reason)) candidate(rank, holds, kind, until, detail)
          WHERE candidate.holds
          ORDER BY candidate.rank
         LIMIT 1) mover)
  WHERE (r.finished_at IS NULL);

CREATE TABLE gatepost.notice (
    notice_id text NOT NULL,
    tenant text NOT NULL,
    run_id text NOT NULL,
    approval_id text NOT NULL,
    kind text NOT NULL,
    level smallint NOT NULL,
    state gatepost.notice_state DEFAULT 'pending'::gatepost.notice_state NOT NULL,
    due_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    told text[] DEFAULT '{}'::text[] NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    written_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT notice_kind_check CHECK ((kind = ANY (ARRAY['asked'::text, 'escalated'::text, 'expiring'::text, 'expired'::text, 'decided'::text]))),
    CONSTRAINT notice_pending_is_not_settled CHECK (((state = 'pending'::gatepost.notice_state) = (settled_at IS NULL)))
);

COMMENT ON COLUMN gatepost.notice.level IS 'of the question when it was written: how often it had been passed on';

COMMENT ON COLUMN gatepost.notice.due_at IS 'when it is to be sent; while it is being sent, when its sender counts as dead';

COMMENT ON COLUMN gatepost.notice.told IS 'the addresses that have it already, by their names; what they are is stored nowhere';

COMMENT ON COLUMN gatepost.notice.reason IS 'why it is not sent, or not yet';

CREATE TABLE gatepost.plan (
    run_id text NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    plan json NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

CREATE TABLE gatepost.policy_in_force (
    workflow text NOT NULL,
    tenant text DEFAULT ''::text NOT NULL,
    version text NOT NULL,
    since timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON COLUMN gatepost.policy_in_force.tenant IS 'a tenant with a set of its own; empty: all others';

CREATE TABLE gatepost.policy_version (
    version text NOT NULL,
    sets jsonb NOT NULL,
    first_used timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON TABLE gatepost.policy_version IS 'written once, before a run is moved under these sets; never changed';

COMMENT ON COLUMN gatepost.policy_version.sets IS 'layer, name, version and text of each, the widest first';

CREATE TABLE gatepost."position" (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    checkpoint_id text NOT NULL,
    parent_checkpoint_id text,
    checkpoint jsonb NOT NULL,
    metadata jsonb NOT NULL,
    type text NOT NULL,
    channel_values bytea NOT NULL
)
WITH (fillfactor='40', toast_tuple_target='8160');

COMMENT ON COLUMN gatepost."position".parent_checkpoint_id IS 'the newest checkpoint that was kept';

CREATE TABLE gatepost.principal_role (
    number bigint NOT NULL,
    tenant text NOT NULL,
    principal text NOT NULL,
    role text NOT NULL,
    granted_by text NOT NULL,
    granted_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    revoked_by text,
    revoked_at timestamp with time zone,
    CONSTRAINT principal_role_revoked_by_somebody CHECK (((revoked_by IS NULL) = (revoked_at IS NULL)))
);

ALTER TABLE gatepost.principal_role ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.principal_role_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE gatepost.revoked_link (
    number bigint NOT NULL,
    approval_id text NOT NULL,
    principal text,
    revoked_by text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON TABLE gatepost.revoked_link IS 'ends every link to the approval that was made before; null: whoever it is for';

ALTER TABLE gatepost.revoked_link ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.revoked_link_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE gatepost.signing_key (
    number bigint NOT NULL,
    secret bytea NOT NULL,
    created_at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    CONSTRAINT signing_key_secret_check CHECK ((length(secret) = 32))
);

ALTER TABLE gatepost.signing_key ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.signing_key_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE gatepost.step (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    step_id text NOT NULL,
    status gatepost.step_status NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    record json NOT NULL
);

CREATE TABLE gatepost.transition (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    source text NOT NULL,
    nodes text[] NOT NULL,
    next text[] NOT NULL,
    status gatepost.run_status NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    epoch bigint NOT NULL,
    checkpoint_id text,
    next_now timestamp with time zone
);

COMMENT ON COLUMN gatepost.transition.next_now IS 'what the next superstep was told the time was, under the same owner; null: "at"';

CREATE TABLE gatepost.used_link (
    link_id text NOT NULL,
    approval_id text NOT NULL,
    principal text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL
);

COMMENT ON TABLE gatepost.used_link IS 'written in the transaction that records the answer, so a link answers once';

CREATE TABLE gatepost.vote (
    number bigint NOT NULL,
    approval_id text NOT NULL,
    level smallint NOT NULL,
    principal text NOT NULL,
    counted_as text NOT NULL,
    roles text[] NOT NULL,
    via text[] NOT NULL,
    type text NOT NULL,
    comment text DEFAULT ''::text NOT NULL,
    args json,
    digest text NOT NULL,
    channel text NOT NULL,
    authenticated text NOT NULL,
    at timestamp with time zone DEFAULT gatepost.now() NOT NULL,
    CONSTRAINT vote_type_check CHECK ((type = ANY (ARRAY['approve'::text, 'edit'::text, 'reject'::text, 'respond'::text])))
);

COMMENT ON COLUMN gatepost.vote.level IS 'of the question when it was given: the votes of one level are counted together';

COMMENT ON COLUMN gatepost.vote.counted_as IS 'the principal, or who delegated to them';

COMMENT ON COLUMN gatepost.vote.digest IS 'of the action that it says yes to';

ALTER TABLE gatepost.vote ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME gatepost.vote_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY gatepost.answer
    ADD CONSTRAINT answer_pkey PRIMARY KEY (run_id, plan_version, number, digest);

ALTER TABLE ONLY gatepost.answered_request
    ADD CONSTRAINT answered_request_pkey PRIMARY KEY (tenant, principal, request_key);

ALTER TABLE ONLY gatepost.api_key
    ADD CONSTRAINT api_key_hash_key UNIQUE (hash);

ALTER TABLE ONLY gatepost.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY gatepost.approval_event
    ADD CONSTRAINT approval_event_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.approval
    ADD CONSTRAINT approval_pkey PRIMARY KEY (approval_id);

ALTER TABLE ONLY gatepost.artifact
    ADD CONSTRAINT artifact_pkey PRIMARY KEY (run_id, name, version);

ALTER TABLE ONLY gatepost.breaker
    ADD CONSTRAINT breaker_pkey PRIMARY KEY (tenant, provider);

ALTER TABLE ONLY gatepost.clock_shift
    ADD CONSTRAINT clock_shift_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY gatepost.code
    ADD CONSTRAINT code_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY gatepost.decision
    ADD CONSTRAINT decision_pkey PRIMARY KEY (approval_id, principal);

ALTER TABLE ONLY gatepost.delegation
    ADD CONSTRAINT delegation_pkey PRIMARY KEY (delegation_id);

ALTER TABLE ONLY gatepost.effect
    ADD CONSTRAINT effect_pkey PRIMARY KEY (key);

ALTER TABLE ONLY gatepost.ended_session
    ADD CONSTRAINT ended_session_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY gatepost.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (run_id, epoch);

ALTER TABLE ONLY gatepost.intervention
    ADD CONSTRAINT intervention_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.notice
    ADD CONSTRAINT notice_once UNIQUE (approval_id, kind, level);

ALTER TABLE ONLY gatepost.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (notice_id);

ALTER TABLE ONLY gatepost.plan
    ADD CONSTRAINT plan_pkey PRIMARY KEY (run_id, version);

ALTER TABLE ONLY gatepost.policy_in_force
    ADD CONSTRAINT policy_in_force_pkey PRIMARY KEY (workflow, tenant);

ALTER TABLE ONLY gatepost.policy_version
    ADD CONSTRAINT policy_version_pkey PRIMARY KEY (version);

ALTER TABLE ONLY gatepost."position"
    ADD CONSTRAINT position_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY gatepost.principal_role
    ADD CONSTRAINT principal_role_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.revoked_link
    ADD CONSTRAINT revoked_link_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY gatepost.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (number);

ALTER TABLE ONLY gatepost.step
    ADD CONSTRAINT step_pkey PRIMARY KEY (run_id, seq, step_id);

ALTER TABLE ONLY gatepost.transition
    ADD CONSTRAINT transition_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY gatepost.used_link
    ADD CONSTRAINT used_link_pkey PRIMARY KEY (link_id);

ALTER TABLE ONLY gatepost.vote
    ADD CONSTRAINT vote_pkey PRIMARY KEY (number);

CREATE INDEX answered_request_until ON gatepost.answered_request USING btree (until);

CREATE INDEX api_key_tenant ON gatepost.api_key USING btree (tenant, created_at);

CREATE INDEX approval_by_run ON gatepost.approval USING btree (run_id, opened_at);

CREATE INDEX approval_event_by_approval ON gatepost.approval_event USING btree (approval_id, number);

CREATE INDEX approval_judged ON gatepost.approval USING btree (judged_under) WHERE ((status = 'open'::gatepost.approval_status) AND (judged_under IS NOT NULL));

CREATE INDEX approval_limit ON gatepost.approval USING btree (decide_by) WHERE ((status = 'open'::gatepost.approval_status) AND (decide_by IS NOT NULL));

CREATE INDEX approval_open ON gatepost.approval USING btree (opened_at) WHERE (status = 'open'::gatepost.approval_status);

CREATE INDEX approval_untaken ON gatepost.approval USING btree (run_id) WHERE ((status = 'decided'::gatepost.approval_status) AND (taken_seq IS NULL));

CREATE INDEX delegation_to ON gatepost.delegation USING btree (tenant, delegate);

CREATE INDEX effect_by_run ON gatepost.effect USING btree (run_id, intended_at);

CREATE INDEX effect_unknown ON gatepost.effect USING btree (intended_at) WHERE (state = ANY (ARRAY['intended'::gatepost.effect_state, 'in_doubt'::gatepost.effect_state]));

CREATE INDEX ended_session_until ON gatepost.ended_session USING btree (until);

CREATE INDEX intervention_by_run ON gatepost.intervention USING btree (run_id, number);

CREATE INDEX intervention_untaken ON gatepost.intervention USING btree (run_id, number) WHERE ((data IS NOT NULL) AND (taken_seq IS NULL));

CREATE INDEX notice_by_run ON gatepost.notice USING btree (run_id);

CREATE INDEX notice_dead ON gatepost.notice USING btree (tenant, written_at) WHERE (state = 'dead'::gatepost.notice_state);

CREATE INDEX notice_due ON gatepost.notice USING btree (due_at) WHERE (state = 'pending'::gatepost.notice_state);

CREATE UNIQUE INDEX principal_role_held ON gatepost.principal_role USING btree (tenant, principal, role) WHERE (revoked_at IS NULL);

CREATE INDEX revoked_link_by_approval ON gatepost.revoked_link USING btree (approval_id);

CREATE INDEX run_by_age ON gatepost.run USING btree (created_at DESC, run_id);

CREATE INDEX run_forks ON gatepost.run USING btree (parent_run_id, created_at) WHERE (parent_run_id IS NOT NULL);

CREATE INDEX run_movable ON gatepost.run USING btree (priority DESC, created_at, run_id) WHERE (status = ANY (ARRAY['queued'::gatepost.run_status, 'running'::gatepost.run_status]));

CREATE INDEX run_ordered ON gatepost.run USING btree (run_id) WHERE (ordered IS NOT NULL);

CREATE INDEX run_suspect ON gatepost.run USING btree (priority DESC, created_at, run_id) WHERE ((status = ANY (ARRAY['queued'::gatepost.run_status, 'running'::gatepost.run_status])) AND (setbacks > 0));

CREATE INDEX run_timer ON gatepost.run USING btree (wake_at) WHERE (status = 'waiting'::gatepost.run_status);

CREATE INDEX run_unfinished ON gatepost.run USING btree (status, created_at) WHERE (finished_at IS NULL);

CREATE INDEX used_link_by_approval ON gatepost.used_link USING btree (approval_id);

CREATE INDEX vote_by_approval ON gatepost.vote USING btree (approval_id, number);

CREATE UNIQUE INDEX gatepost_one_child ON public.checkpoints USING btree (thread_id, checkpoint_ns, parent_checkpoint_id) WHERE ((parent_checkpoint_id IS NOT NULL) AND ((metadata ->> 'source'::text) = ANY (ARRAY['loop'::text, 'input'::text])));

CREATE TRIGGER approval_asked AFTER INSERT ON gatepost.approval FOR EACH ROW WHEN ((new.status = 'open'::gatepost.approval_status)) EXECUTE FUNCTION gatepost.tell_people();

CREATE TRIGGER approval_changed AFTER UPDATE OF status, level ON gatepost.approval FOR EACH ROW WHEN (((old.status = 'open'::gatepost.approval_status) AND ((new.status <> 'open'::gatepost.approval_status) OR (new.level > old.level)))) EXECUTE FUNCTION gatepost.tell_people();

CREATE TRIGGER approval_opened BEFORE INSERT ON gatepost.approval FOR EACH ROW EXECUTE FUNCTION gatepost.count_quorum();

CREATE TRIGGER run_admitted AFTER INSERT ON gatepost.run FOR EACH ROW WHEN ((new.status = ANY (ARRAY['queued'::gatepost.run_status, 'waiting'::gatepost.run_status]))) EXECUTE FUNCTION gatepost.ring();

CREATE TRIGGER run_checked BEFORE INSERT OR UPDATE OF status, finished_at, owner, lease_expires_at, ordered, parent_run_id, parent_seq, fork_effects, traceparent ON gatepost.run FOR EACH ROW EXECUTE FUNCTION gatepost.check_run();

CREATE TRIGGER run_deleted AFTER DELETE ON gatepost.run FOR EACH ROW EXECUTE FUNCTION gatepost.forget_run();

CREATE TRIGGER run_requeued AFTER UPDATE OF status, wake_at ON gatepost.run FOR EACH ROW WHEN (((new.status = ANY (ARRAY['queued'::gatepost.run_status, 'waiting'::gatepost.run_status])) AND ((old.status IS DISTINCT FROM new.status) OR (old.wake_at IS DISTINCT FROM new.wake_at)))) EXECUTE FUNCTION gatepost.ring();

ALTER TABLE ONLY gatepost.answer
    ADD CONSTRAINT answer_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.approval_event
    ADD CONSTRAINT approval_event_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.approval
    ADD CONSTRAINT approval_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.artifact
    ADD CONSTRAINT artifact_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.decision
    ADD CONSTRAINT decision_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.entry
    ADD CONSTRAINT entry_code_fkey FOREIGN KEY (code) REFERENCES gatepost.code(digest);

ALTER TABLE ONLY gatepost.entry
    ADD CONSTRAINT entry_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.intervention
    ADD CONSTRAINT intervention_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.notice
    ADD CONSTRAINT notice_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.notice
    ADD CONSTRAINT notice_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.plan
    ADD CONSTRAINT plan_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.policy_in_force
    ADD CONSTRAINT policy_in_force_version_fkey FOREIGN KEY (version) REFERENCES gatepost.policy_version(version);

ALTER TABLE ONLY gatepost."position"
    ADD CONSTRAINT position_run_id_fkey FOREIGN KEY (run_id) REFERENCES gatepost.run(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.revoked_link
    ADD CONSTRAINT revoked_link_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.used_link
    ADD CONSTRAINT used_link_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

ALTER TABLE ONLY gatepost.vote
    ADD CONSTRAINT vote_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES gatepost.approval(approval_id) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA gatepost TO gatepost_app;

GRANT USAGE ON SCHEMA public TO gatepost_app;

GRANT ALL ON TYPE gatepost.approval_status TO gatepost_app;

GRANT ALL ON TYPE gatepost.effect_class TO gatepost_app;

GRANT ALL ON TYPE gatepost.effect_state TO gatepost_app;

GRANT ALL ON TYPE gatepost.notice_state TO gatepost_app;

GRANT ALL ON TYPE gatepost.on_doubt TO gatepost_app;

GRANT ALL ON TYPE gatepost.purpose TO gatepost_app;

GRANT ALL ON TYPE gatepost.run_status TO gatepost_app;

GRANT ALL ON TYPE gatepost.step_status TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.advance(p_run_id text, p_epoch bigint, p_seq bigint, p_status gatepost.run_status, p_reason text, p_plan_version integer) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.commit_supersteps(p_supersteps json, p_steps json, p_effects json, p_rest json, p_kept json, p_channels json, p_blobs bytea[], p_places json, p_values bytea[]) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.fence(p_held json) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.flush_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) TO gatepost_app;

REVOKE ALL ON FUNCTION gatepost.now() FROM PUBLIC;
GRANT ALL ON FUNCTION gatepost.now() TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(status) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(decide_by) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(closed_at) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(taken_seq) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(level) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(impact) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(judged_under) ON TABLE gatepost.approval TO gatepost_app;

GRANT UPDATE(judged) ON TABLE gatepost.approval TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.give_notice(p_asked gatepost.approval, p_kind text, p_due timestamp with time zone) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.give_order(p_run_id text, p_ordered text, p_actor text, p_why text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.instruct(p_run_id text, p_from gatepost.run_status[], p_kind text, p_actor text, p_why text, p_data json) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.judged_by(p_request json) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.let_go(p_run_id text, p_epoch bigint, p_wake_at timestamp with time zone, p_wake_reason text, p_trouble text, p_patience integer) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.obey(p_run_id text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.obey_stop(p_run_id text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.queue_again(p_run_id text, p_why text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.remind_at(p_asked gatepost.approval) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.strand(p_run_id text, p_setbacks integer, p_trouble text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.take_back(p_run_id text, p_actor text, p_why text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.time_is_up(p_approval_id text) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.write_records(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) TO gatepost_app;

GRANT ALL ON FUNCTION gatepost.write_rows(p_run_id text, p_epoch bigint, p_seq bigint, p_rows json) TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.answer TO gatepost_app;

GRANT SELECT,INSERT,DELETE ON TABLE gatepost.answered_request TO gatepost_app;

GRANT UPDATE(fingerprint) ON TABLE gatepost.answered_request TO gatepost_app;

GRANT UPDATE(status) ON TABLE gatepost.answered_request TO gatepost_app;

GRANT UPDATE(body) ON TABLE gatepost.answered_request TO gatepost_app;

GRANT UPDATE(until) ON TABLE gatepost.answered_request TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.api_key TO gatepost_app;

GRANT UPDATE(expires_at) ON TABLE gatepost.api_key TO gatepost_app;

GRANT UPDATE(revoked_at) ON TABLE gatepost.api_key TO gatepost_app;

GRANT UPDATE(revoked_by) ON TABLE gatepost.api_key TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.approval_event TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.artifact TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.breaker TO gatepost_app;

GRANT UPDATE(failures) ON TABLE gatepost.breaker TO gatepost_app;

GRANT UPDATE(open_until) ON TABLE gatepost.breaker TO gatepost_app;

GRANT UPDATE(probe_until) ON TABLE gatepost.breaker TO gatepost_app;

GRANT UPDATE(reason) ON TABLE gatepost.breaker TO gatepost_app;

GRANT UPDATE(changed_at) ON TABLE gatepost.breaker TO gatepost_app;

GRANT SELECT ON TABLE gatepost.clock_shift TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.code TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.decision TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.delegation TO gatepost_app;

GRANT UPDATE(ended_by) ON TABLE gatepost.delegation TO gatepost_app;

GRANT UPDATE(ended_at) ON TABLE gatepost.delegation TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(state) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(attempts) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(epoch) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(result) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(failure) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(finished_at) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(attempted_at) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(cleared) ON TABLE gatepost.effect TO gatepost_app;

GRANT UPDATE(not_before) ON TABLE gatepost.effect TO gatepost_app;

GRANT SELECT,INSERT,DELETE ON TABLE gatepost.ended_session TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.entry TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.intervention TO gatepost_app;

GRANT UPDATE(taken_seq) ON TABLE gatepost.intervention TO gatepost_app;

GRANT SELECT ON TABLE gatepost.migration TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(status) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(reason) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(priority) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(seq) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(plan_version) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(owner) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(epoch) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(lease_expires_at) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(wake_at) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(wake_reason) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(updated_at) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(finished_at) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(setbacks) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(setback_seq) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(trouble) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(ordered) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(ordered_by) ON TABLE gatepost.run TO gatepost_app;

GRANT UPDATE(ordered_why) ON TABLE gatepost.run TO gatepost_app;

GRANT SELECT ON TABLE gatepost.next_mover TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(state) ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(due_at) ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(attempts) ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(told) ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(reason) ON TABLE gatepost.notice TO gatepost_app;

GRANT UPDATE(settled_at) ON TABLE gatepost.notice TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.plan TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.policy_in_force TO gatepost_app;

GRANT UPDATE(version) ON TABLE gatepost.policy_in_force TO gatepost_app;

GRANT UPDATE(since) ON TABLE gatepost.policy_in_force TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.policy_version TO gatepost_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE gatepost."position" TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.principal_role TO gatepost_app;

GRANT UPDATE(revoked_by) ON TABLE gatepost.principal_role TO gatepost_app;

GRANT UPDATE(revoked_at) ON TABLE gatepost.principal_role TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.revoked_link TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.signing_key TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.step TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.transition TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.used_link TO gatepost_app;

GRANT SELECT,INSERT ON TABLE gatepost.vote TO gatepost_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.checkpoint_blobs TO gatepost_app;

GRANT SELECT ON TABLE public.checkpoint_migrations TO gatepost_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.checkpoint_writes TO gatepost_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.checkpoints TO gatepost_app;
