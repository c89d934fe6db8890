-- The books of the example services: what the other side saw and what it did.
--
-- `calls` has a row for every request that came in, written before anything is done about it
-- and completed before it is answered, so a request that was cut, held or killed is in the
-- books too. `effects` has a row for every act; its unique key is what makes "once per key"
-- true across threads, processes and restarts.

CREATE TABLE IF NOT EXISTS calls (
    id           INTEGER PRIMARY KEY,
    at           TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    vendor       TEXT,
    key          TEXT,
    body_sha256  TEXT NOT NULL,
    body         TEXT NOT NULL,
    status       INTEGER,           -- NULL: not answered (yet)
    deduplicated INTEGER NOT NULL DEFAULT 0 CHECK (deduplicated IN (0, 1)),
    fault        TEXT               -- the fault that a test had ordered for this call
) STRICT;

CREATE INDEX IF NOT EXISTS calls_by_key ON calls (key);
CREATE INDEX IF NOT EXISTS calls_by_path ON calls (path);

CREATE TABLE IF NOT EXISTS effects (
    id          INTEGER PRIMARY KEY,
    key         TEXT CONSTRAINT one_effect_per_key UNIQUE,  -- NULL: came without a key, acts each time
    at          TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    path        TEXT NOT NULL,
    vendor      TEXT,
    fingerprint TEXT NOT NULL,
    status      INTEGER NOT NULL,
    response    TEXT NOT NULL
) STRICT;
