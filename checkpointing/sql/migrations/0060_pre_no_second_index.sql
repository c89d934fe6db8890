-- LangGraph's tables have an index on thread_id alone beside a primary key that begins with it. Whatever the one finds,
-- the other finds as well, and every row was entered in both: a superstep has four in these tables. LangGraph's setup()
-- does not make them again: its own list says that it has.
DROP INDEX IF EXISTS public.checkpoints_thread_id_idx;
DROP INDEX IF EXISTS public.checkpoint_blobs_thread_id_idx;
DROP INDEX IF EXISTS public.checkpoint_writes_thread_id_idx;
