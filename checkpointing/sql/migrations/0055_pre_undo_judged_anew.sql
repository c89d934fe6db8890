-- A question whether something may be undone is judged under a policy as well, and anew under another one.
CREATE OR REPLACE FUNCTION gatepost.judged_by(p_request json) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN coalesce(p_request ->> 'kind', 'action') = 'action' THEN nullif(p_request ->> 'policy_version', '') END
$$;
UPDATE gatepost.approval SET judged_under = gatepost.judged_by(request)
WHERE status = 'open' AND judged_under IS NULL AND gatepost.judged_by(request) IS NOT NULL;
