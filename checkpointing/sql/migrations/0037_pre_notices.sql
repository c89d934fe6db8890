-- Notices to people: what has to be said to whom, written in the transaction of what it tells of, and sent by workers.

CREATE TYPE gatepost.notice_state AS ENUM ('pending', 'sent', 'dropped', 'dead');
GRANT USAGE ON TYPE gatepost.notice_state TO gatepost_app;

CREATE TABLE gatepost.notice (
    notice_id text PRIMARY KEY,
    tenant text NOT NULL,
    run_id text NOT NULL REFERENCES gatepost.run (run_id) ON DELETE CASCADE,
    approval_id text NOT NULL REFERENCES gatepost.approval (approval_id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('asked', 'escalated', 'expiring', 'expired', 'decided')),
    level smallint NOT NULL,
    state gatepost.notice_state NOT NULL DEFAULT 'pending',
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    told text[] NOT NULL DEFAULT '{}',
    reason text NOT NULL DEFAULT '',
    written_at timestamptz NOT NULL DEFAULT gatepost.now(),
    settled_at timestamptz,
    CONSTRAINT notice_once UNIQUE (approval_id, kind, level),
    CONSTRAINT notice_pending_is_not_settled CHECK ((state = 'pending') = (settled_at IS NULL))
);
COMMENT ON COLUMN gatepost.notice.level IS 'of the question when it was written: how often it had been passed on';
COMMENT ON COLUMN gatepost.notice.due_at IS 'when it is to be sent; while it is being sent, when its sender counts as dead';
COMMENT ON COLUMN gatepost.notice.told IS 'the addresses that have it already, by their names; what they are is stored nowhere';
COMMENT ON COLUMN gatepost.notice.reason IS 'why it is not sent, or not yet';
CREATE INDEX notice_due ON gatepost.notice (due_at) WHERE state = 'pending';
CREATE INDEX notice_dead ON gatepost.notice (tenant, written_at) WHERE state = 'dead';
CREATE INDEX notice_by_run ON gatepost.notice (run_id);
GRANT SELECT, INSERT, UPDATE (state, due_at, attempts, told, reason, settled_at) ON gatepost.notice TO gatepost_app;

-- The id follows from what is told, so the same thing is never written down twice, and its receiver knows a repeat.
CREATE FUNCTION gatepost.give_notice(p_asked gatepost.approval, p_kind text, p_due timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO gatepost.notice (notice_id, tenant, run_id, approval_id, kind, level, due_at)
    SELECT 'ntc_' || left(encode(sha256(convert_to(
               concat_ws(':', p_asked.approval_id, p_kind, p_asked.level), 'UTF8')), 'hex'), 12),
           r.tenant, r.run_id, p_asked.approval_id, p_kind, p_asked.level, p_due
    FROM gatepost.run r WHERE r.run_id = p_asked.run_id
    ON CONFLICT DO NOTHING
$$;

-- When people are reminded: as the gate says, or when a quarter of their time is left, and a day at most. Null: never.
CREATE FUNCTION gatepost.remind_at(p_asked gatepost.approval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_asked.decide_by - make_interval(secs => before.seconds)
    FROM (SELECT coalesce(
        (p_asked.request -> 'terms' ->> 'remind_seconds')::float8,
        least((p_asked.request -> 'terms' ->> 'decide_seconds')::float8 / 4, 86400)
    ) AS seconds) AS before
    WHERE before.seconds > 0
$$;

CREATE FUNCTION gatepost.tell_people() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

CREATE TRIGGER approval_asked AFTER INSERT ON gatepost.approval
FOR EACH ROW WHEN (NEW.status = 'open') EXECUTE FUNCTION gatepost.tell_people();
CREATE TRIGGER approval_changed AFTER UPDATE OF status, level ON gatepost.approval
FOR EACH ROW WHEN (OLD.status = 'open' AND (NEW.status <> 'open' OR NEW.level > OLD.level))
EXECUTE FUNCTION gatepost.tell_people();

GRANT EXECUTE ON FUNCTION gatepost.give_notice(gatepost.approval, text, timestamptz),
    gatepost.remind_at(gatepost.approval) TO gatepost_app;
