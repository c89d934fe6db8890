-- name: of
-- The answers of one level of a question, oldest first; without one, of the level at which it is asked now.
SELECT * FROM gatepost.vote
WHERE approval_id = %(approval_id)s
  AND level = coalesce(%(level)s::smallint, (SELECT level FROM gatepost.approval WHERE approval_id = %(approval_id)s))
ORDER BY number;

-- name: record
-- Put an answer on record.
INSERT INTO gatepost.vote
    (approval_id, level, principal, counted_as, roles, via, type, comment, args, digest, channel, authenticated)
VALUES (%(approval)s, %(level)s, %(principal)s, %(counted_as)s, %(roles)s, %(via)s, %(type)s, %(comment)s, %(args)s,
        %(digest)s, %(channel)s, %(authenticated)s);

-- name: note
-- Put on record what else happened to a question of the tenant.
INSERT INTO gatepost.approval_event (approval_id, kind, actor, reason)
SELECT a.approval_id, %(kind)s, %(actor)s, %(reason)s
FROM gatepost.approval a JOIN gatepost.run r USING (run_id)
WHERE a.approval_id = %(approval_id)s AND r.tenant = %(tenant)s;

-- name: life
-- Everything that was said to a question and happened to it, in order.
SELECT * FROM (
    SELECT v.at, v.number, v.type AS kind, v.principal AS actor, v.counted_as, v.roles, v.via, v.args,
           v.comment AS reason, v.level
    FROM gatepost.vote v WHERE v.approval_id = %(approval_id)s
    UNION ALL
    SELECT e.at, e.number, e.kind, e.actor, NULL, NULL, NULL, NULL, e.reason, NULL
    FROM gatepost.approval_event e WHERE e.approval_id = %(approval_id)s
) AS told
ORDER BY at, number;
