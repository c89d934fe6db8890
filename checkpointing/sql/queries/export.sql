-- name: header
-- What an export says of its run before anything else.
SELECT r.created_at AS at, r.requested_by AS who, r.goal AS why, r.status, r.tenant, r.workflow, r.graph_version,
       r.root_run_id, r.goal, r.input, gatepost.now() AS exported_at,
       coalesce((
           SELECT json_agg(DISTINCT a.request ->> 'policy_version') FROM gatepost.approval a
           WHERE a.run_id = r.run_id AND a.request ->> 'policy_version' <> ''
       ), '[]') AS policy_versions,
       coalesce((
           SELECT json_agg(DISTINCT p.id) FROM (
               SELECT json_array_elements_text(s.record -> 'policies') AS id
               FROM gatepost.step s WHERE s.run_id = r.run_id AND s.record -> 'policies' IS NOT NULL
               UNION
               SELECT json_array_elements_text(a.request -> 'policies')
               FROM gatepost.approval a WHERE a.run_id = r.run_id AND a.request -> 'policies' IS NOT NULL
           ) AS p
       ), '[]') AS policies
FROM gatepost.run r WHERE r.run_id = %(run_id)s AND r.tenant = %(tenant)s;

-- name: snapshot
-- All that is read in this transaction is as of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
