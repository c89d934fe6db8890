-- The page of a run shows what was forked from it.

CREATE INDEX run_forks ON gatepost.run (parent_run_id, created_at) WHERE parent_run_id IS NOT NULL;
