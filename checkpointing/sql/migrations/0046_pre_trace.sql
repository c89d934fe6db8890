-- The trace that a run belongs to, so that whoever moves it goes on with it.
ALTER TABLE gatepost.run ADD COLUMN traceparent text CHECK (length(traceparent) <= 100);
COMMENT ON COLUMN gatepost.run.traceparent IS 'W3C trace context of whoever started it; null where nobody traced then';
