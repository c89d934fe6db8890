-- Runs, and everything a run leaves behind.
--
-- gatepost.run is the one table of promises: a run has its row before anything is promised to a
-- caller, and the row names who moves it next (owner and lease, timer, status). Every write of an
-- owner goes through gatepost.advance(), which holds the row and compares the epoch, so a process
-- that lost its lease can write nothing at all.
--
-- Plans, steps, transitions and artifacts are append-only and carry the run's transition number
-- (seq), so what a run looked like as of any checkpoint is "the last row with seq <= its seq".

CREATE TYPE gatepost.run_status AS ENUM (
    'queued', 'running', 'blocked', 'waiting', 'held', 'succeeded', 'rejected', 'failed',
    'timed_out', 'compensated', 'compensation_failed', 'cancelled', 'stranded'
);

CREATE TYPE gatepost.step_status AS ENUM (
    'pending', 'ready', 'blocked', 'running', 'waiting', 'succeeded', 'failed', 'in_doubt',
    'skipped', 'cancelled', 'compensating', 'compensated', 'compensation_failed'
);

CREATE TYPE gatepost.approval_status AS ENUM ('open', 'decided', 'expired', 'void');

CREATE TYPE gatepost.effect_state AS ENUM ('intended', 'succeeded', 'failed', 'in_doubt');

CREATE TABLE gatepost.run (
    run_id text PRIMARY KEY,
    tenant text NOT NULL,
    root_run_id text NOT NULL,
    requested_by text NOT NULL,
    goal text NOT NULL,
    workflow text NOT NULL,
    graph_version text NOT NULL,
    input json NOT NULL,
    fingerprint text NOT NULL,
    status gatepost.run_status NOT NULL DEFAULT 'queued',
    reason text NOT NULL DEFAULT '',
    priority smallint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0,
    plan_version integer NOT NULL DEFAULT 0,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    wake_at timestamptz,
    wake_reason text,
    created_at timestamptz NOT NULL DEFAULT gatepost.now(),
    updated_at timestamptz NOT NULL DEFAULT gatepost.now(),
    finished_at timestamptz,
    CONSTRAINT run_owned_has_lease CHECK ((owner IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT run_final_is_finished CHECK (
        (status IN ('succeeded', 'rejected', 'failed', 'compensated', 'cancelled')) = (finished_at IS NOT NULL)
    )
);

CREATE INDEX run_by_age ON gatepost.run (created_at DESC, run_id);
CREATE INDEX run_unfinished ON gatepost.run (status, created_at) WHERE finished_at IS NULL;

CREATE TABLE gatepost.plan (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    version integer NOT NULL,
    seq bigint NOT NULL,
    plan json NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (run_id, version)
);

CREATE TABLE gatepost.transition (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    seq bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    source text NOT NULL,
    nodes text[] NOT NULL,
    next text[] NOT NULL,
    status gatepost.run_status NOT NULL,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL,
    epoch bigint NOT NULL,
    checkpoint_id text,
    PRIMARY KEY (run_id, seq)
);
CREATE TABLE gatepost.step (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    seq bigint NOT NULL,
    step_id text NOT NULL,
    status gatepost.step_status NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    record json NOT NULL,
    PRIMARY KEY (run_id, seq, step_id)
);

CREATE TABLE gatepost.approval (
    approval_id text PRIMARY KEY,
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    step_id text NOT NULL,
    status gatepost.approval_status NOT NULL DEFAULT 'open',
    digest text NOT NULL,
    request json NOT NULL,
    quorum smallint NOT NULL DEFAULT 1,
    decide_by timestamptz,
    act_by timestamptz,
    opened_seq bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT gatepost.now(),
    closed_at timestamptz,
    taken_seq bigint,
    CONSTRAINT approval_open_is_not_closed CHECK ((status = 'open') = (closed_at IS NULL))
);
COMMENT ON COLUMN gatepost.approval.taken_seq IS 'the transition in which the run took the answer; null while it has not';

CREATE INDEX approval_by_run ON gatepost.approval (run_id, opened_at);
CREATE INDEX approval_open ON gatepost.approval (opened_at) WHERE status = 'open';

CREATE TABLE gatepost.decision (
    approval_id text NOT NULL REFERENCES gatepost.approval ON DELETE CASCADE,
    principal text NOT NULL,
    type text NOT NULL CHECK (type IN ('approve', 'edit', 'reject', 'respond')),
    comment text NOT NULL DEFAULT '',
    args json,
    digest text NOT NULL,
    channel text NOT NULL,
    authenticated text NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (approval_id, principal)
);
COMMENT ON COLUMN gatepost.decision.digest IS 'of the action it authorises: the approval''s own, or that of the edited arguments';

CREATE TABLE gatepost.effect (
    key text PRIMARY KEY,
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    root_run_id text NOT NULL,
    tenant text NOT NULL,
    step_id text NOT NULL,
    call_path text NOT NULL DEFAULT '',
    purpose text NOT NULL DEFAULT 'run' CHECK (purpose IN ('run', 'compensate')),
    generation integer NOT NULL DEFAULT 0,
    tool text NOT NULL,
    tool_version text NOT NULL,
    effect_class text NOT NULL CHECK (effect_class IN ('read', 'write', 'irreversible')),
    on_doubt text NOT NULL CHECK (on_doubt IN ('retry', 'lookup', 'transaction', 'ask')),
    fingerprint text NOT NULL,
    arguments json NOT NULL,
    approval_id text,
    state gatepost.effect_state NOT NULL DEFAULT 'intended',
    attempts integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL,
    result json,
    failure json,
    intended_at timestamptz NOT NULL DEFAULT gatepost.now(),
    finished_at timestamptz,
    CONSTRAINT effect_known_is_finished CHECK ((state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL))
);

CREATE INDEX effect_by_run ON gatepost.effect (run_id, intended_at);
CREATE INDEX effect_unknown ON gatepost.effect (intended_at) WHERE state IN ('intended', 'in_doubt');

CREATE TABLE gatepost.artifact (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    name text NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    step_id text NOT NULL,
    media_type text NOT NULL,
    content text NOT NULL,
    sha256 text NOT NULL,
    parents json NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (run_id, name, version)
);

-- The fence. Called first in every transaction an owner writes: takes the run's row, compares the
-- epoch, moves the run on, and gives the time back. GP001 is LostRun in Python.
CREATE FUNCTION gatepost.advance(
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
    WHERE run_id = p_run_id AND epoch = p_epoch AND owner IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not held under epoch % any more', p_run_id, p_epoch USING ERRCODE = 'GP001';
    END IF;
    RETURN moment;
END $$;

GRANT SELECT, INSERT, UPDATE ON gatepost.run TO gatepost_app;
GRANT SELECT, INSERT ON gatepost.plan, gatepost.transition, gatepost.step, gatepost.decision, gatepost.artifact
    TO gatepost_app;
GRANT SELECT, INSERT, UPDATE ON gatepost.approval, gatepost.effect TO gatepost_app;
GRANT EXECUTE ON FUNCTION gatepost.advance TO gatepost_app;
GRANT USAGE ON TYPE gatepost.run_status, gatepost.step_status, gatepost.approval_status, gatepost.effect_state
    TO gatepost_app;

-- Two children of one checkpoint are two owners of one run: the second is refused by this index,
-- whatever both believed about their lease. Forks and operators' updates may still branch.
CREATE UNIQUE INDEX gatepost_one_child ON public.checkpoints (thread_id, checkpoint_ns, parent_checkpoint_id)
    WHERE parent_checkpoint_id IS NOT NULL AND metadata ->> 'source' IN ('loop', 'input');
