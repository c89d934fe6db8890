-- Gatepost on Postgres: the foundation
-- ====================================
--
-- Two schemas. `public` holds LangGraph's tables, made by LangGraph's own setup(): a checkpoint is the position of
-- a run, and theirs. `gatepost` holds what that position stands on: what was decided, what was done in the world,
-- who moves a run next. Where the two disagree, `gatepost` is the truth.
--
-- Two ways in. The owner of the database migrates, and does nothing else. Everybody else acts as gatepost_app
-- (role.sql), which owns nothing, creates nothing and is bound by row-level security. Each migration grants it
-- exactly what its tables need, one line per table, so that a reader sees every right where the table is made.
-- There are no default privileges: a table whose grants were forgotten fails closed.
--
-- One clock. Every instant that decides something (a lease, an expiry, a wake-up) is read by gatepost.now(), so
-- machines with wrong clocks agree, and a test moves time by one row instead of waiting. Only the owner may write
-- that row, so in production nobody who runs an agent can make an approval young again.
--
-- The files are numbered, run once each in one transaction, and never change: gatepost.migration keeps the checksum
-- of each. `pre` files are safe while the previous release still runs, `post` files when it no longer does.

CREATE SCHEMA gatepost;
REVOKE ALL ON SCHEMA gatepost FROM PUBLIC;
GRANT USAGE ON SCHEMA gatepost TO gatepost_app;

-- What ran here. A number that the code does not know means that a newer release was here first.
CREATE TABLE gatepost.migration (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON gatepost.migration TO gatepost_app;

-- By how much a test has moved the clock: no row, and so no shift, outside tests.
CREATE TABLE gatepost.clock_shift (
    singleton boolean  PRIMARY KEY DEFAULT true CHECK (singleton),
    shift     interval NOT NULL
);
GRANT SELECT ON gatepost.clock_shift TO gatepost_app;

-- STABLE although it reads the wall clock: a VOLATILE function is evaluated once per row and never reaches an
-- index, so "which leases have expired" would read the whole table. Every name in the body is qualified as well as
-- the path fixed: the operator, too, must be the system's.
CREATE FUNCTION gatepost.now() RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pg_catalog.clock_timestamp()
        OPERATOR(pg_catalog.+) COALESCE((SELECT shift FROM gatepost.clock_shift), interval '0');
END
$$;
REVOKE ALL ON FUNCTION gatepost.now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gatepost.now() TO gatepost_app;

-- LangGraph's tables, as their saver uses them.
GRANT USAGE ON SCHEMA public TO gatepost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.checkpoints TO gatepost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.checkpoint_blobs TO gatepost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.checkpoint_writes TO gatepost_app;
GRANT SELECT ON public.checkpoint_migrations TO gatepost_app;
