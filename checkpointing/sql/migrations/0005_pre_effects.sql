-- When an effect was last attempted, in database time: a look-up that finds nothing is believed only when the last
-- request can no longer arrive. Rows from before count as attempted when this ran, which only makes us wait longer.

ALTER TABLE gatepost.effect ADD COLUMN attempted_at timestamptz NOT NULL DEFAULT gatepost.now();
COMMENT ON COLUMN gatepost.effect.attempted_at IS 'when the last attempt was announced, just before it was made';
