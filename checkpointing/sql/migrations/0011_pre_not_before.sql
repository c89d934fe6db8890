-- A wait that a provider has asked for outlives the process that waits: whoever goes on with the call keeps it.

ALTER TABLE gatepost.effect ADD COLUMN not_before timestamptz;
COMMENT ON COLUMN gatepost.effect.not_before IS 'when the next attempt may be made; set while nothing is under way';
GRANT UPDATE (not_before) ON gatepost.effect TO gatepost_app;
