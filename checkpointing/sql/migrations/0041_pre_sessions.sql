-- Browser sessions that were signed out of before their time. A session itself is stored nowhere but in its cookie.
CREATE TABLE gatepost.ended_session (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    until timestamptz NOT NULL
);
COMMENT ON COLUMN gatepost.ended_session.hash IS 'SHA-256 of what names the session in its cookie';
COMMENT ON COLUMN gatepost.ended_session.until IS 'when its cookie would have ended by itself; then it is forgotten';
CREATE INDEX ended_session_until ON gatepost.ended_session (until);
GRANT SELECT, INSERT, DELETE ON gatepost.ended_session TO gatepost_app;
