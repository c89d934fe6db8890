-- name: create
-- A new key; only its hash is stored.
INSERT INTO gatepost.api_key (key_id, hash, tenant, principal, label, scopes, created_by, expires_at)
VALUES (%(key_id)s, %(hash)s, %(tenant)s, %(principal)s, %(label)s, %(scopes)s, %(created_by)s,
        gatepost.now() + %(lasts)s::interval)
RETURNING expires_at;

-- name: by_hash
-- The key with this hash, if it is in force.
SELECT key_id, hash, tenant, principal, scopes, expires_at FROM gatepost.api_key
WHERE hash = %(hash)s AND revoked_at IS NULL AND expires_at > gatepost.now();

-- name: by_id
-- The key with this id, if it is in force: what a browser's session rests on.
SELECT key_id, hash, tenant, principal, scopes, expires_at FROM gatepost.api_key
WHERE key_id = %(key_id)s AND revoked_at IS NULL AND expires_at > gatepost.now();

-- name: by_session
-- The key that a browser's session rests on, if it is in force and nobody has signed out of the session.
SELECT key_id, hash, tenant, principal, scopes, expires_at FROM gatepost.api_key
WHERE key_id = %(key_id)s AND revoked_at IS NULL AND expires_at > gatepost.now()
  AND NOT EXISTS (SELECT FROM gatepost.ended_session WHERE hash = %(session)s);

-- name: end_session
-- Nobody is signed in by this session any more, whoever has a copy of its cookie.
INSERT INTO gatepost.ended_session (hash, until) VALUES (%(session)s, gatepost.now() + %(lasts)s::interval)
ON CONFLICT (hash) DO NOTHING;

-- name: sweep_sessions
-- Forget those whose cookies have ended by themselves.
DELETE FROM gatepost.ended_session WHERE until <= gatepost.now();

-- name: list
-- The keys of a tenant, newest first; never their hashes.
SELECT key_id, tenant, principal, label, scopes, created_by, created_at, expires_at, revoked_at, revoked_by,
       revoked_at IS NULL AND expires_at > gatepost.now() AS in_force
FROM gatepost.api_key
WHERE tenant = %(tenant)s
ORDER BY created_at DESC, key_id LIMIT %(limit)s;

-- name: find
-- Keys whose id starts so.
SELECT key_id FROM gatepost.api_key
WHERE tenant = %(tenant)s AND starts_with(key_id, %(prefix)s)
ORDER BY (key_id = %(prefix)s) DESC, key_id LIMIT 6;

-- name: revoke
-- Revoke a key for good; gives since when it is.
UPDATE gatepost.api_key SET
    revoked_at = coalesce(revoked_at, gatepost.now()), revoked_by = coalesce(revoked_by, %(revoked_by)s)
WHERE key_id = %(key_id)s AND tenant = %(tenant)s
RETURNING revoked_at, revoked_by;

-- name: renew
-- A key that is not revoked lasts so long from now.
UPDATE gatepost.api_key SET expires_at = greatest(expires_at, gatepost.now() + %(lasts)s::interval)
WHERE key_id = %(key_id)s AND revoked_at IS NULL
RETURNING expires_at;

-- name: signing_keys
-- What is signed with, newest first.
SELECT number, secret FROM gatepost.signing_key ORDER BY number DESC LIMIT 4;

-- name: first_signing_key
-- The first one; of several processes that make it at once, one does.
INSERT INTO gatepost.signing_key (secret)
SELECT %(secret)s WHERE pg_catalog.pg_advisory_xact_lock(7453577708793328244) IS NOT NULL
                    AND NOT EXISTS (SELECT FROM gatepost.signing_key);
