-- Movers: who takes a run next, and how they are told.
--
-- A mover claims runs from gatepost.run itself: what is queued, and what an owner left behind when its lease ran
-- out. wake_at says "not before" in every status that has it: the timer of a waiting run, the pause after a failed
-- attempt, or the moment until which a queued run is kept for the caller who admitted it and moves it by itself.
--
-- A run that ends its owners is not tried for ever: setbacks counts attempts in a row that died or failed at the
-- same transition. Movers park it as stranded when they have had enough.

ALTER TABLE gatepost.run
    ADD COLUMN setbacks integer NOT NULL DEFAULT 0,
    ADD COLUMN setback_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN trouble text;
COMMENT ON COLUMN gatepost.run.setbacks IS 'attempts in a row that died or failed at transition setback_seq; void once seq is another';
COMMENT ON COLUMN gatepost.run.trouble IS 'what the last of them ended with; null where it died without a word';

-- What a mover looks through, in the order in which it takes: never a run that has ended, waits or is parked.
CREATE INDEX run_movable ON gatepost.run (priority DESC, created_at, run_id) WHERE status IN ('queued', 'running');
CREATE INDEX run_timer ON gatepost.run (wake_at) WHERE status = 'waiting';
CREATE INDEX approval_untaken ON gatepost.approval (run_id) WHERE status = 'decided' AND taken_seq IS NULL;
CREATE INDEX approval_limit ON gatepost.approval (decide_by) WHERE status = 'open' AND decide_by IS NOT NULL;

-- What was done to a run from outside its graph: by an operator, or by a mover that gave it up.
CREATE TABLE gatepost.intervention (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
CREATE INDEX intervention_by_run ON gatepost.intervention (run_id, number);
GRANT SELECT, INSERT ON gatepost.intervention TO gatepost_app;

-- Every way into the queue rings the bell, whoever wrote the row: admission, a decision, a release, an operator.
-- A timer rings it too, so that a sleeping mover learns of one that is due earlier than those it knew.
CREATE FUNCTION gatepost.ring() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('gatepost_queue', NEW.run_id);
    RETURN NULL;
END $$;
CREATE TRIGGER run_admitted AFTER INSERT ON gatepost.run
    FOR EACH ROW WHEN (NEW.status IN ('queued', 'waiting')) EXECUTE FUNCTION gatepost.ring();
CREATE TRIGGER run_requeued AFTER UPDATE OF status, wake_at ON gatepost.run
    FOR EACH ROW WHEN (
        NEW.status IN ('queued', 'waiting')
        AND (OLD.status IS DISTINCT FROM NEW.status OR OLD.wake_at IS DISTINCT FROM NEW.wake_at)
    ) EXECUTE FUNCTION gatepost.ring();

-- Let go of a run. A run that was still moving, or whose open question has been answered meanwhile, is queued for
-- the next mover; both cases are decided under the run's row lock, so no answer falls between. With p_trouble the
-- attempt has failed: the next one waits, longer each time, and after p_patience of them nobody tries any more.
-- Gives the status in which the run is left; null when it was not ours to let go.
CREATE FUNCTION gatepost.let_go(
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

-- Nobody tries this run any more, until an operator says so.
CREATE FUNCTION gatepost.strand(p_run_id text, p_setbacks integer, p_trouble text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

GRANT EXECUTE ON FUNCTION gatepost.let_go, gatepost.strand TO gatepost_app;
