-- What the effect protocol remembers between attempts, and of providers that have a bad time.

ALTER TABLE gatepost.effect ADD COLUMN cleared boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN gatepost.effect.cleared IS 'every attempt so far certainly did nothing: a wait that dies leaves no doubt';
GRANT UPDATE (cleared) ON gatepost.effect TO gatepost_app;

-- One breaker for each provider of a tenant, shared by all workers. While it is open nobody calls; then one call is
-- let through to see, and decides for all.
CREATE TABLE gatepost.breaker (
    tenant text NOT NULL,
    provider text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    probe_until timestamptz,
    reason text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT gatepost.now(),
    PRIMARY KEY (tenant, provider)
);
COMMENT ON COLUMN gatepost.breaker.failures IS 'in a row, since the last success';
COMMENT ON COLUMN gatepost.breaker.probe_until IS 'somebody is seeing whether it is well again, and is believed to until then';
GRANT SELECT, INSERT, UPDATE (failures, open_until, probe_until, reason, changed_at) ON gatepost.breaker TO gatepost_app;
