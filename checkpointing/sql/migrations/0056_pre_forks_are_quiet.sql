-- As before; but a fork that calls nothing bothers nobody: whoever tries something out answers its questions themselves.
CREATE OR REPLACE FUNCTION gatepost.give_notice(p_asked gatepost.approval, p_kind text, p_due timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO gatepost.notice (notice_id, tenant, run_id, approval_id, kind, level, due_at)
    SELECT 'ntc_' || left(encode(sha256(convert_to(
               concat_ws(':', p_asked.approval_id, p_kind, p_asked.level), 'UTF8')), 'hex'), 12),
           r.tenant, r.run_id, p_asked.approval_id, p_kind, p_asked.level, p_due
    FROM gatepost.run r WHERE r.run_id = p_asked.run_id AND (r.fork_effects IS NULL OR r.fork_effects = 'fire')
    ON CONFLICT DO NOTHING
$$;
UPDATE gatepost.notice n SET state = 'dropped', reason = 'a fork that calls nothing', settled_at = gatepost.now()
FROM gatepost.run r WHERE r.run_id = n.run_id AND n.state = 'pending' AND r.fork_effects IN ('reuse', 'dry-run');
