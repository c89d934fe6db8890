-- name: stands
-- Whether a link may still answer: the tenant's question is open and unchanged, and the link is neither used nor revoked.
SELECT EXISTS (
    SELECT FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
    WHERE a.approval_id = %(approval)s AND r.tenant = %(tenant)s AND a.digest = %(digest)s AND a.status = 'open'
      AND NOT EXISTS (SELECT FROM gatepost.used_link u WHERE u.link_id = %(link)s)
      AND NOT EXISTS (
          SELECT FROM gatepost.revoked_link w
          WHERE w.approval_id = a.approval_id AND w.at >= %(made)s AND coalesce(w.principal, %(principal)s) = %(principal)s
      )
) AS stands;

-- name: use
-- Use a link up; no row when it may not answer. Of several at once that use the same, one gets it.
INSERT INTO gatepost.used_link (link_id, approval_id, principal)
SELECT %(link)s, a.approval_id, %(principal)s
FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE a.approval_id = %(approval)s AND r.tenant = %(tenant)s AND a.digest = %(digest)s AND a.status = 'open'
  AND NOT EXISTS (
      SELECT FROM gatepost.revoked_link w
      WHERE w.approval_id = a.approval_id AND w.at >= %(made)s AND coalesce(w.principal, %(principal)s) = %(principal)s
  )
ON CONFLICT DO NOTHING;

-- name: revoke
-- End the links to the tenant's question that were made so far: somebody's, or everybody's.
INSERT INTO gatepost.revoked_link (approval_id, principal, revoked_by)
SELECT a.approval_id, %(principal)s, %(revoked_by)s
FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE a.approval_id = %(approval)s AND r.tenant = %(tenant)s;
