-- What the service remembers: who may call it, with what it signs, and which requests it has answered.

-- Keys. Only the hash is stored: whoever reads this table can call nobody. A key belongs to one tenant and names its
-- principal; it is never changed, only revoked.
CREATE TABLE gatepost.api_key (
    key_id text PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    tenant text NOT NULL,
    principal text NOT NULL,
    label text NOT NULL DEFAULT '',
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'start', 'decide', 'operate'] AND cardinality(scopes) > 0),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT gatepost.now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text
);
COMMENT ON COLUMN gatepost.api_key.hash IS 'SHA-256 of the whole key, which is 256 random bits: there is nothing to guess';
CREATE INDEX api_key_tenant ON gatepost.api_key (tenant, created_at);
GRANT SELECT, INSERT, UPDATE (revoked_at, revoked_by) ON gatepost.api_key TO gatepost_app;

-- What cookies and links are signed with. The newest signs; older ones are believed until they are deleted.
CREATE TABLE gatepost.signing_key (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret bytea NOT NULL CHECK (length(secret) = 32),
    created_at timestamptz NOT NULL DEFAULT gatepost.now()
);
GRANT SELECT, INSERT ON gatepost.signing_key TO gatepost_app;

-- Requests that were answered, by the key that their sender gave them. A row without a status is under way.
CREATE TABLE gatepost.answered_request (
    tenant text NOT NULL,
    principal text NOT NULL,
    request_key text NOT NULL,
    fingerprint text NOT NULL,
    status smallint,
    body json,
    until timestamptz NOT NULL,
    PRIMARY KEY (tenant, principal, request_key)
);
COMMENT ON COLUMN gatepost.answered_request.until IS 'under way: then its process counts as dead; answered: then it is forgotten';
CREATE INDEX answered_request_until ON gatepost.answered_request (until);
GRANT SELECT, INSERT, UPDATE (fingerprint, status, body, until), DELETE ON gatepost.answered_request TO gatepost_app;
