-- Forks: runs that start from a state of another run, and what they may do to the world. Nobody can change either.

ALTER TABLE gatepost.run
    ADD COLUMN parent_run_id text,
    ADD COLUMN parent_seq bigint,
    ADD COLUMN fork_effects text CHECK (fork_effects IN ('reuse', 'dry-run', 'fire')),
    ADD CONSTRAINT run_fork_has_parent CHECK (
        (parent_run_id IS NULL) = (parent_seq IS NULL) AND (parent_run_id IS NULL) = (fork_effects IS NULL)
    );
COMMENT ON COLUMN gatepost.run.parent_run_id IS 'the run that this one was forked from; null for one that was started';
COMMENT ON COLUMN gatepost.run.parent_seq IS 'the transition of it whose state this one starts from';
COMMENT ON COLUMN gatepost.run.fork_effects IS 'reuse and dry-run: nothing is called; fire: effects are made anew, each under an approval of its own';
