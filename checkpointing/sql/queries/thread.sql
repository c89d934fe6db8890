-- name: copy_checkpoints
-- Every checkpoint of a thread, in every namespace, under another thread id.
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
SELECT %(target)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints WHERE thread_id = %(source)s;

-- name: copy_blobs
-- The values that those checkpoints point at.
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %(target)s, checkpoint_ns, channel, version, type, blob
FROM checkpoint_blobs WHERE thread_id = %(source)s;

-- name: copy_writes
-- And what tasks of unfinished supersteps have written.
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT %(target)s, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
FROM checkpoint_writes WHERE thread_id = %(source)s;

-- name: rename_checkpoints
-- A thread gets another id: its checkpoints,
UPDATE checkpoints SET thread_id = %(target)s WHERE thread_id = %(source)s;

-- name: rename_blobs
-- their values,
UPDATE checkpoint_blobs SET thread_id = %(target)s WHERE thread_id = %(source)s;

-- name: rename_writes
-- and what its tasks have written.
UPDATE checkpoint_writes SET thread_id = %(target)s WHERE thread_id = %(source)s;

-- name: delete_writes_of_runs
-- Writes that belong to checkpoints of these LangGraph run ids.
DELETE FROM checkpoint_writes w USING checkpoints c
WHERE c.metadata ->> 'run_id' = ANY(%(run_ids)s)
  AND (w.thread_id, w.checkpoint_ns, w.checkpoint_id) = (c.thread_id, c.checkpoint_ns, c.checkpoint_id);

-- name: delete_checkpoints_of_runs
-- The checkpoints themselves. Blobs stay: other checkpoints of the thread may share them, and prune() takes the rest.
DELETE FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%(run_ids)s);

-- name: writes
-- What tasks of an unfinished superstep have written, in LangGraph's order.
SELECT task_id, channel, type, blob FROM checkpoint_writes
WHERE thread_id = %(thread_id)s AND checkpoint_ns = '' AND checkpoint_id = %(checkpoint_id)s
ORDER BY task_path, task_id, idx;

-- name: is_run
-- Whether a thread is a run, of whichever tenant: its checkpoints are written under its lease, and in no other way.
SELECT EXISTS (SELECT FROM gatepost.run WHERE run_id = %(thread_id)s) AS yes;
