-- Another policy: which one is in force, and under which one each open question was judged.

-- The sets that judge the runs of a workflow, put here by the worker that started last. An older worker with other sets
-- goes on under its own, and has no question judged anew.
CREATE TABLE gatepost.policy_in_force (
    workflow text NOT NULL,
    tenant text NOT NULL DEFAULT '',
    version text NOT NULL REFERENCES gatepost.policy_version (version),
    since timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (workflow, tenant)
);
COMMENT ON COLUMN gatepost.policy_in_force.tenant IS 'a tenant with a set of its own; empty: all others';
GRANT SELECT, INSERT, UPDATE (version, since) ON gatepost.policy_in_force TO gatepost_app;

ALTER TABLE gatepost.approval ADD COLUMN judged_under text;
ALTER TABLE gatepost.approval ADD COLUMN judged json;
COMMENT ON COLUMN gatepost.approval.judged_under IS 'version of the policy that asks; null where no policy does';
COMMENT ON COLUMN gatepost.approval.judged IS 'what a later policy said of it: version, policies, reasons; binds nothing';
GRANT UPDATE (judged_under, judged) ON gatepost.approval TO gatepost_app;
CREATE INDEX approval_judged ON gatepost.approval (judged_under) WHERE status = 'open' AND judged_under IS NOT NULL;

-- As before, and under which policy it is asked: only of an action that is to be done.
CREATE OR REPLACE FUNCTION gatepost.count_quorum() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.quorum := coalesce((NEW.request -> 'terms' ->> 'quorum')::smallint, NEW.quorum);
    NEW.judged_under := gatepost.judged_by(NEW.request);
    RETURN NEW;
END $$;

CREATE FUNCTION gatepost.judged_by(p_request json) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN coalesce(p_request ->> 'kind', 'action') = 'action'
                 AND coalesce(p_request ->> 'purpose', 'run') = 'run' THEN nullif(p_request ->> 'policy_version', '') END
$$;
GRANT EXECUTE ON FUNCTION gatepost.judged_by TO gatepost_app;
UPDATE gatepost.approval SET judged_under = gatepost.judged_by(request) WHERE status = 'open';

ALTER TABLE gatepost.approval_event DROP CONSTRAINT approval_event_kind_check;
ALTER TABLE gatepost.approval_event ADD CONSTRAINT approval_event_kind_check
    CHECK (kind IN ('comment', 'refused', 'escalated', 'expired', 'judged', 'withdrawn'));

-- As before, and what another policy says of questions that stay open.
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

-- As before, and an answer that found no mover wakes a run that waits for a time as well.
CREATE OR REPLACE VIEW gatepost.next_mover WITH (security_invoker = true) AS
WITH moment AS MATERIALIZED (SELECT gatepost.now() AS now)
SELECT r.run_id, r.tenant, r.workflow, r.status, mover.kind, mover.until, mover.detail, r.priority, r.created_at,
       r.updated_at
FROM moment CROSS JOIN gatepost.run r
LEFT JOIN LATERAL (
    SELECT bool_or(a.status = 'decided' AND a.taken_seq IS NULL) AS answered,
           bool_or(a.status = 'open' AND a.decide_by <= moment.now
                   AND a.request -> 'terms' -> 'escalate_to' ->> a.level::integer IS NULL) AS late,
           bool_or(a.status = 'open' AND a.decide_by <= moment.now) AS due,
           string_agg(a.approval_id, ', ' ORDER BY a.opened_at, a.approval_id) FILTER (WHERE a.status = 'open') AS open,
           min(a.decide_by) FILTER (WHERE a.status = 'open') AS until
    FROM gatepost.approval a WHERE a.run_id = r.run_id
) AS asked ON r.status IN ('blocked', 'waiting')
CROSS JOIN LATERAL (
    SELECT * FROM (VALUES
        (1, r.owner IS NOT NULL AND r.lease_expires_at > moment.now, 'owner', r.lease_expires_at, r.owner),
        (2, r.status IN ('held', 'timed_out', 'compensation_failed', 'stranded'), 'operator', NULL, r.reason),
        (3, r.status IN ('blocked', 'waiting') AND asked.late, 'queue', NULL, 'nobody answered in time'),
        (4, r.status = 'waiting' AND asked.answered, 'queue', NULL, 'its question is answered'),
        (5, r.status IN ('queued', 'running', 'waiting') AND r.wake_at > moment.now, 'timer', r.wake_at, r.wake_reason),
        (6, r.status IN ('queued', 'running'), 'queue', NULL, r.reason),
        (7, r.status = 'waiting' AND r.wake_at IS NOT NULL, 'queue', NULL, r.wake_reason),
        (8, r.status = 'waiting' AND r.owner IS NOT NULL, 'queue', NULL, 'its owner died before it set the time'),
        (9, r.status = 'waiting' AND r.wake_reason IS NOT NULL, 'event', NULL, r.wake_reason),
        (10, r.status = 'blocked' AND asked.answered, 'queue', NULL, 'its question is answered'),
        (11, r.status = 'blocked' AND asked.due, 'timer', asked.until, 'nobody answered in time; the next one is asked'),
        (12, r.status = 'blocked' AND asked.open IS NOT NULL, 'approval', asked.until, asked.open),
        (13, true, 'nobody', NULL, r.reason)
    ) AS candidate (rank, holds, kind, until, detail)
    WHERE candidate.holds ORDER BY rank LIMIT 1
) AS mover
WHERE r.finished_at IS NULL;
