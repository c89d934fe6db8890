-- name: ring
-- Queue the runs whose timer has run out. One that was left without a time is its dead owner's: it goes on at once.
WITH due AS MATERIALIZED (
    SELECT run_id FROM gatepost.run
    WHERE status = 'waiting' AND (
        (wake_at <= (SELECT gatepost.now()) AND (owner IS NULL OR lease_expires_at <= (SELECT gatepost.now())))
        OR (wake_at IS NULL AND lease_expires_at <= (SELECT gatepost.now()))
    )
    FOR UPDATE SKIP LOCKED
)
UPDATE gatepost.run r SET
    status = 'queued', owner = NULL, lease_expires_at = NULL, wake_at = NULL, wake_reason = NULL,
    updated_at = gatepost.now()
FROM due WHERE r.run_id = due.run_id;

-- name: answered
-- Queue the runs whose answer found no mover: their owner died between its last transition and letting go.
WITH left_over AS MATERIALIZED (
    SELECT r.run_id FROM gatepost.run r
    WHERE r.status IN ('blocked', 'waiting') AND (r.owner IS NULL OR r.lease_expires_at <= (SELECT gatepost.now()))
      AND r.run_id IN (SELECT a.run_id FROM gatepost.approval a WHERE a.status = 'decided' AND a.taken_seq IS NULL)
    FOR UPDATE OF r SKIP LOCKED
)
UPDATE gatepost.run r SET
    status = 'queued', owner = NULL, lease_expires_at = NULL, wake_at = NULL, wake_reason = NULL,
    updated_at = gatepost.now()
FROM left_over WHERE r.run_id = left_over.run_id;

-- name: obey
-- Carry out the orders whose run has no owner any more that could.
WITH ordered AS MATERIALIZED (
    SELECT run_id FROM gatepost.run
    WHERE ordered IS NOT NULL AND (owner IS NULL OR lease_expires_at <= (SELECT gatepost.now()))
    FOR UPDATE SKIP LOCKED
)
SELECT run_id, gatepost.obey(run_id) AS status FROM ordered;

-- name: strand
-- Park the runs that have ended one owner after another without moving on.
WITH hopeless AS MATERIALIZED (
    SELECT run_id, setbacks + 1 AS setbacks FROM gatepost.run
    WHERE status IN ('queued', 'running') AND lease_expires_at <= (SELECT gatepost.now())
      AND setback_seq = seq AND setbacks + 1 >= %(patience)s
    FOR UPDATE SKIP LOCKED
)
SELECT run_id, gatepost.strand(run_id, setbacks, NULL) FROM hopeless;

-- name: claim
-- Take runs that nobody holds, the most urgent first and of those the oldest, and their leases with them. A suspect, at
-- whose transition two attempts in a row have ended, comes first and alone: if it ends its owner, it ends nobody else.
-- Limits (so many at once of a tenant, a queue, a provider) have their place in the WHERE of `suspect` and `free`.
WITH suspect AS MATERIALIZED (
    SELECT run_id, owner AS left_by, updated_at AS left_at FROM gatepost.run
    WHERE status IN ('queued', 'running') AND setbacks > 0
      AND setback_seq = seq AND setbacks + CASE WHEN owner IS NULL THEN 0 ELSE 1 END >= %(suspect)s
      AND (owner IS NULL OR lease_expires_at <= (SELECT gatepost.now()))
      AND (wake_at IS NULL OR wake_at <= (SELECT gatepost.now()))
      AND workflow = ANY(%(workflows)s) AND graph_version = %(graph_version)s
      AND (%(tenants)s::text[] IS NULL OR tenant = ANY(%(tenants)s::text[]))
    ORDER BY priority DESC, created_at, run_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), free AS MATERIALIZED (
    SELECT run_id, owner AS left_by, updated_at AS left_at FROM gatepost.run
    WHERE NOT EXISTS (SELECT FROM suspect) AND status IN ('queued', 'running')
      AND (setback_seq <> seq OR setbacks + CASE WHEN owner IS NULL THEN 0 ELSE 1 END < %(suspect)s)
      AND (owner IS NULL OR lease_expires_at <= (SELECT gatepost.now()))
      AND (wake_at IS NULL OR wake_at <= (SELECT gatepost.now()))
      AND workflow = ANY(%(workflows)s) AND graph_version = %(graph_version)s
      AND (%(tenants)s::text[] IS NULL OR tenant = ANY(%(tenants)s::text[]))
    ORDER BY priority DESC, created_at, run_id
    LIMIT %(slots)s
    FOR UPDATE SKIP LOCKED
)
UPDATE gatepost.run r SET
    owner = %(owner)s, epoch = epoch + 1, lease_expires_at = gatepost.now() + %(ttl)s,
    status = 'running', wake_at = NULL, wake_reason = NULL, updated_at = gatepost.now(),
    setback_seq = seq,
    setbacks = CASE WHEN setback_seq = seq THEN setbacks ELSE 0 END + CASE WHEN owner IS NULL THEN 0 ELSE 1 END,
    trouble = CASE WHEN owner IS NULL AND setback_seq = seq THEN trouble END
FROM (SELECT * FROM suspect UNION ALL SELECT * FROM free) AS chosen
WHERE r.run_id = chosen.run_id
RETURNING r.*, gatepost.now() AS now, chosen.left_by, chosen.left_at,
          EXISTS (SELECT FROM gatepost.intervention i
                  WHERE i.run_id = r.run_id AND i.data IS NOT NULL AND i.taken_seq IS NULL) AS instructed;

-- name: judge_anew
-- Take runs that nobody holds, and whose open questions were judged under another policy than the one in force: only
-- whoever put that one in force takes them. The run stays as it is, so a mover that dies with it leaves it so.
WITH stale AS MATERIALIZED (
    SELECT r.run_id FROM gatepost.run r
    WHERE r.status IN ('blocked', 'waiting') AND (r.owner IS NULL OR r.lease_expires_at <= (SELECT gatepost.now()))
      AND r.ordered IS NULL AND r.graph_version = %(graph_version)s AND NOT r.run_id = ANY(%(tried)s::text[])
      AND r.run_id IN (
          SELECT a.run_id
          FROM unnest(%(workflows)s::text[], %(tenants)s::text[], %(versions)s::text[]) AS mine (workflow, tenant, version)
          JOIN gatepost.policy_in_force f USING (workflow, tenant, version)
          JOIN gatepost.approval a ON a.status = 'open' AND a.judged_under <> f.version
          JOIN gatepost.run asked ON asked.run_id = a.run_id AND asked.workflow = f.workflow
          WHERE f.tenant = CASE WHEN asked.tenant = ANY(%(tenants)s::text[]) THEN asked.tenant ELSE '' END)
    ORDER BY r.priority DESC, r.created_at, r.run_id
    LIMIT %(slots)s
    FOR UPDATE SKIP LOCKED
)
UPDATE gatepost.run r SET
    owner = %(owner)s, epoch = epoch + 1, lease_expires_at = gatepost.now() + %(ttl)s, updated_at = gatepost.now()
FROM stale WHERE r.run_id = stale.run_id
RETURNING r.*, gatepost.now() AS now,
          EXISTS (SELECT FROM gatepost.intervention i
                  WHERE i.run_id = r.run_id AND i.data IS NOT NULL AND i.taken_seq IS NULL) AS instructed;

-- name: due
-- How long until the next timer rings: of a waiting run, of a queued one that is kept, of a question's limit.
SELECT min(at) - gatepost.now() AS left FROM (
    SELECT min(wake_at) AS at FROM gatepost.run WHERE status = 'waiting'
    UNION ALL
    SELECT min(wake_at) FROM gatepost.run WHERE status IN ('queued', 'running') AND wake_at IS NOT NULL
    UNION ALL
    SELECT min(decide_by) FROM gatepost.approval WHERE status = 'open' AND decide_by IS NOT NULL
) AS timer;

-- name: listen
-- Be told when a run is queued; the payload is its id.
LISTEN gatepost_queue;

-- name: watch
-- Be told when an owner lets go of a run: it has ended, or it waits for something.
LISTEN gatepost_news;

-- name: present
-- Show to everybody, for as long as the connection lives, that a mover listens.
SELECT pg_advisory_lock_shared(%(key)s);

-- name: why
-- Who moves a run next, and what there is to know about it.
SELECT r.run_id, r.status, r.reason, r.workflow, r.seq, r.owner, r.lease_expires_at, r.finished_at, r.trouble,
       r.ordered, r.ordered_by,
       CASE WHEN r.setback_seq = r.seq THEN r.setbacks ELSE 0 END AS setbacks,
       m.kind, m.until, m.detail, gatepost.now() AS now, last.at AS moved_at, last.nodes AS moved_by,
       (SELECT count(*) FROM gatepost.next_mover o
        WHERE o.tenant = r.tenant AND o.kind = 'queue'
          AND (-o.priority, o.created_at, o.run_id) < (-r.priority, r.created_at, r.run_id)
       ) AS ahead,
       (SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = pg_catalog.current_database()
          AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s) AS movers
FROM gatepost.run r
LEFT JOIN gatepost.next_mover m USING (run_id)
LEFT JOIN gatepost.transition last ON last.run_id = r.run_id AND last.seq = r.seq
WHERE r.run_id = %(run_id)s AND r.tenant = %(tenant)s;
