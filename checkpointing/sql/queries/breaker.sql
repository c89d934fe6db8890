-- name: enter
-- Whether a call may be made: the breaker as it stands, and whether this caller is the one that is let through to see.
WITH probe AS (
    UPDATE gatepost.breaker SET probe_until = gatepost.now() + %(probe)s, changed_at = gatepost.now()
    WHERE tenant = %(tenant)s AND provider = %(provider)s AND open_until <= gatepost.now()
      AND (probe_until IS NULL OR probe_until <= gatepost.now())
    RETURNING tenant
)
SELECT b.open_until, b.reason, gatepost.now() AS now, EXISTS (SELECT FROM probe) AS probing
FROM gatepost.breaker b WHERE b.tenant = %(tenant)s AND b.provider = %(provider)s
  AND (b.failures > 0 OR b.open_until IS NOT NULL);

-- name: failed
-- One more failure. The breaker opens when the provider asks for it, when there were many in a row, or when the one
-- call that was let through has failed.
INSERT INTO gatepost.breaker AS b (tenant, provider, failures, open_until, reason)
VALUES (%(tenant)s, %(provider)s, 1, gatepost.now() + %(asked)s::interval, %(reason)s)
ON CONFLICT (tenant, provider) DO UPDATE SET
    failures = b.failures + 1,
    open_until = CASE
        WHEN %(asked)s::interval IS NOT NULL THEN greatest(b.open_until, gatepost.now() + %(asked)s::interval)
        WHEN b.failures + 1 >= %(open_after)s OR b.probe_until IS NOT NULL
        THEN greatest(b.open_until, gatepost.now() + %(open_for)s)
        ELSE b.open_until END,
    probe_until = NULL, reason = EXCLUDED.reason, changed_at = gatepost.now();

-- name: answered
-- The provider answered.
UPDATE gatepost.breaker SET failures = 0, open_until = NULL, probe_until = NULL, changed_at = gatepost.now()
WHERE tenant = %(tenant)s AND provider = %(provider)s AND (failures > 0 OR open_until IS NOT NULL);
