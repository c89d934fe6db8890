-- name: begin
-- Take a request that was not taken before, or whose process died with it, or that is forgotten.
INSERT INTO gatepost.answered_request AS r (tenant, principal, request_key, fingerprint, until)
VALUES (%(tenant)s, %(principal)s, %(request_key)s, %(fingerprint)s, gatepost.now() + %(patience)s::interval)
ON CONFLICT (tenant, principal, request_key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, status = NULL, body = NULL, until = EXCLUDED.until
    WHERE r.until <= gatepost.now() AND (r.status IS NOT NULL OR r.fingerprint = EXCLUDED.fingerprint)
RETURNING request_key;

-- name: found
-- A request that was taken before.
SELECT fingerprint, status, body FROM gatepost.answered_request
WHERE tenant = %(tenant)s AND principal = %(principal)s AND request_key = %(request_key)s;

-- name: answer
-- What it was answered with, for whoever sends it again.
UPDATE gatepost.answered_request SET status = %(status)s, body = %(body)s, until = gatepost.now() + %(kept)s::interval
WHERE tenant = %(tenant)s AND principal = %(principal)s AND request_key = %(request_key)s;

-- name: carried_out
-- What its change came to. From here on it is not carried out again, whatever becomes of the answer.
UPDATE gatepost.answered_request SET body = %(outcome)s, until = gatepost.now() + %(kept)s::interval
WHERE tenant = %(tenant)s AND principal = %(principal)s AND request_key = %(request_key)s AND status IS NULL;

-- name: forget
-- It was refused and changed nothing: it may be corrected and sent again.
DELETE FROM gatepost.answered_request
WHERE tenant = %(tenant)s AND principal = %(principal)s AND request_key = %(request_key)s
  AND status IS NULL AND body IS NULL;

-- name: give_up
-- Nobody knows what became of it, and nobody is at it: the same request may be carried out again, and no other one.
UPDATE gatepost.answered_request SET until = gatepost.now()
WHERE tenant = %(tenant)s AND principal = %(principal)s AND request_key = %(request_key)s
  AND status IS NULL AND body IS NULL;

-- name: sweep
-- Forget what is past its time.
DELETE FROM gatepost.answered_request WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM gatepost.answered_request WHERE until <= gatepost.now() - interval '1 hour' LIMIT 500
));
