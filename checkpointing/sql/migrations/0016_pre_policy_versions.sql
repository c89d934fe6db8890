-- The policy sets that have judged, so that what a judgement rested on can be shown after the files have changed.

CREATE TABLE gatepost.policy_version (
    version text PRIMARY KEY,
    sets jsonb NOT NULL,
    first_used timestamptz NOT NULL DEFAULT gatepost.now()
);
COMMENT ON TABLE gatepost.policy_version IS 'written once, before a run is moved under these sets; never changed';
COMMENT ON COLUMN gatepost.policy_version.sets IS 'layer, name, version and text of each, the widest first';
GRANT SELECT, INSERT ON gatepost.policy_version TO gatepost_app;
