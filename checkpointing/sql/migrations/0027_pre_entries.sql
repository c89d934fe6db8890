-- What a re-execution needs and no other row says: when each owner took a run, under what code, and what models said.
-- All of it is written before the superstep that rests on it, so that no transition is without its record.

CREATE TABLE gatepost.code (
    digest text PRIMARY KEY,
    facts json NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now()
);
COMMENT ON TABLE gatepost.code IS 'what a run was moved by: policy, declarations, fingerprints of code; once per version';
GRANT SELECT, INSERT ON gatepost.code TO gatepost_app;

CREATE TABLE gatepost.entry (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    epoch bigint NOT NULL,
    now timestamptz NOT NULL,
    status gatepost.run_status NOT NULL,
    reason text NOT NULL,
    code text NOT NULL REFERENCES gatepost.code,
    PRIMARY KEY (run_id, epoch)
);
COMMENT ON TABLE gatepost.entry IS 'one owner''s hold on a run: what its first superstep saw';
GRANT SELECT, INSERT ON gatepost.entry TO gatepost_app;

CREATE TABLE gatepost.answer (
    run_id text NOT NULL REFERENCES gatepost.run ON DELETE CASCADE,
    plan_version integer NOT NULL,
    number integer NOT NULL,
    digest text NOT NULL,
    prompt json NOT NULL,
    answer json NOT NULL,
    at timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (run_id, plan_version, number, digest)
);
COMMENT ON TABLE gatepost.answer IS 'what a model said to a planning strategy: asked once, whatever dies after it';
COMMENT ON COLUMN gatepost.answer.plan_version IS 'the version that was being planned';
GRANT SELECT, INSERT ON gatepost.answer TO gatepost_app;
