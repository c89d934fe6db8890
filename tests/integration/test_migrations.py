"""Tries to break the migrations: four processes on an empty database, databases of one cluster at once, edited
files, databases from the future, a step that fails in its middle; and tries to do as the application role what
only the owner may.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing import migrate as runner
from gatepost.checkpointing import schema
from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.migrate import FILE_NAME, Migration, migrate, migrations, pending
from gatepost.checkpointing.schema import apply_snapshot, dump, render
from gatepost.state.errors import DatabaseUnavailable

CREATE = sql.SQL("CREATE DATABASE {}")
DROP = sql.SQL("DROP DATABASE {} WITH (FORCE)")
LANGGRAPH = f"langgraph_{runner.LANGGRAPH_VERSION:04d}"
ADDITIONS = b"""
ALTER TABLE public.checkpoints ADD COLUMN added text NOT NULL DEFAULT 'x';
ALTER TABLE public.checkpoints ADD CONSTRAINT short CHECK (length(added) < 9);
ALTER TABLE public.checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.checkpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON public.checkpoints TO gatepost_app USING (added = current_setting('gatepost.added', true));
CREATE INDEX checkpoints_added ON public.checkpoints (added);
COMMENT ON COLUMN public.checkpoints.added IS 'ours';
"""
OURS = [found.name for found in migrations()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A server whose databases come and go."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        yield ensure_server(Path(folder))
        stop_server(Path(folder))


@pytest.fixture
def fresh(cluster: str) -> Iterator[Callable[[], Address]]:
    """Make empty databases. The role goes with them, so each test finds a cluster that never saw it."""
    made: list[sql.Identifier] = []
    with psycopg.connect(cluster, autocommit=True) as connection:

        def make() -> Address:
            made.append(sql.Identifier(f"test_{len(made)}"))
            connection.execute(CREATE.format(made[-1]))
            return resolve(make_conninfo(cluster, dbname=f"test_{len(made) - 1}"))

        yield make
        for name in made:
            connection.execute(DROP.format(name))
        connection.execute("DROP ROLE IF EXISTS gatepost_app")


@pytest.fixture
def empty(fresh: Callable[[], Address]) -> Address:
    return fresh()


@pytest.fixture(scope="module")
def migrated() -> Iterator[Address]:
    """One migrated database for the tests that leave it as they found it."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        address = resolve(ensure_server(Path(folder)))
        migrate(address)
        yield address
        stop_server(Path(folder))


def as_owner(address: Address) -> psycopg.Connection:
    return psycopg.connect(address.owner, autocommit=True)


def as_app(address: Address) -> psycopg.Connection:
    return psycopg.connect(address.app, autocommit=True)


def told(connection: psycopg.Connection, question: LiteralString) -> object:
    row = connection.execute(question).fetchone()
    return row[0] if row else None


def test_four_processes_on_an_empty_database(empty: Address) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["gatepost.checkpointing.migrate"])
    with ProcessPoolExecutor(4, mp_context=processes) as migrators:
        said = list(migrators.map(migrate, [empty] * 4))
    assert sorted(said) == [[], [], [], [LANGGRAPH, "role", *OURS]]
    assert pending(empty) == []


def test_databases_of_one_cluster_at_once(fresh: Callable[[], Address]) -> None:
    addresses = [fresh() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, addresses))
    # The role is a step of everybody who saw the cluster without it; the rest is everybody's.
    assert [[name for name in names if name != "role"] for names in applied] == [[LANGGRAPH, *OURS]] * 4
    for address in addresses:
        with as_app(address) as connection:
            assert told(connection, "SELECT current_user") == "gatepost_app"


def test_applied_steps_are_told_once(empty: Address) -> None:
    assert pending(empty) == [LANGGRAPH, "role", *OURS]
    assert migrate(empty) == [LANGGRAPH, "role", *OURS]
    assert migrate(empty) == []


def test_nothing_missing_takes_one_query_and_no_lock(migrated: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    execute: Callable[..., Any] = psycopg.Connection.execute

    def listening(connection: object, query: object, *rest: object, **named: object) -> Any:
        asked.append(query)
        return execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", listening)
    assert migrate(migrated) == []
    assert asked == [runner.READ_STATE]


def test_wait_for_the_lock_is_bounded(empty: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 0.0)
    with as_owner(empty) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [runner.LOCK_KEY])
        with pytest.raises(DatabaseUnavailable, match=r"another process has been migrating .*pg_stat_activity"):
            migrate(empty)


def test_changed_file_is_refused_by_name(empty: Address) -> None:
    migrate(empty)
    with as_owner(empty) as connection:
        connection.execute("UPDATE gatepost.migration SET sha256 = repeat('0', 64) WHERE number = 1")
    for ask in (migrate, pending):
        with pytest.raises(DatabaseUnavailable, match="'0001_pre_foundation' differs from the one that was applied"):
            ask(empty)


def test_newer_database_is_refused(empty: Address) -> None:
    migrate(empty)
    with as_owner(empty) as connection:
        connection.execute("INSERT INTO gatepost.migration VALUES (9999, '9999_pre_future', repeat('0', 64))")
    with pytest.raises(DatabaseUnavailable, match=r"newer than this release: .*'9999_pre_future'.*upgrade gatepost"):
        migrate(empty)


def test_failed_file_leaves_nothing_and_is_tried_again(empty: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    good = migrations()
    bad = Migration(9001, "9001_pre_bad", b"CREATE TABLE gatepost.half (n int); SELECT 1 / 0;")
    monkeypatch.setattr(runner, "migrations", lambda: (*good, bad))
    with pytest.raises(DatabaseUnavailable, match=r"9001_pre_bad failed on .*division by zero"):
        migrate(empty)
    with as_owner(empty) as connection:
        assert told(connection, "SELECT to_regclass('gatepost.half')") is None
    assert pending(empty) == ["9001_pre_bad"]


def test_broken_index_of_a_killed_setup_is_built_again(empty: Address) -> None:
    migrate(empty)
    with as_owner(empty) as connection:
        connection.execute("DELETE FROM checkpoint_migrations WHERE v >= 6")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'checkpoints_thread_id_idx'::regclass"
        )
    assert migrate(empty) == [LANGGRAPH]
    with as_owner(empty) as connection:
        question: LiteralString = (
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'checkpoints_thread_id_idx'::regclass"
        )
        assert told(connection, question) is True


def test_settings_of_the_user_do_not_lead_astray(empty: Address) -> None:
    with as_owner(empty) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
    odd = resolve(make_conninfo(empty.owner, options="-c search_path=elsewhere"))
    assert migrate(odd) == [LANGGRAPH, "role", *OURS]
    with as_app(odd) as connection:
        assert told(connection, "SELECT count(*) FROM checkpoints") == 0


def test_ordinary_owner_needs_no_superuser(cluster: str, fresh: Callable[[], Address]) -> None:
    address = fresh()
    with as_owner(address) as connection:
        connection.execute("CREATE ROLE plain LOGIN CREATEROLE")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO plain").format(sql.Identifier(connection.info.dbname)))
    plain = resolve(make_conninfo(address.owner, user="plain"))
    assert migrate(plain) == [LANGGRAPH, "role", *OURS]
    with as_app(plain) as connection:
        assert told(connection, "SELECT current_user || ' ' || session_user") == "gatepost_app plain"
        connection.execute("INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('t', 'c', '{}')")
    with as_owner(address) as connection:
        connection.execute("DROP OWNED BY gatepost_app, plain CASCADE")
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(connection.info.dbname))
        )
        connection.execute("DROP ROLE gatepost_app, plain")


def test_user_without_rights_is_told_to_be_the_owner(empty: Address) -> None:
    with as_owner(empty) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    try:
        with pytest.raises(DatabaseUnavailable, match="as the owner of the database"):
            migrate(resolve(make_conninfo(empty.owner, user="guest")))
    finally:
        with as_owner(empty) as connection:
            connection.execute("DROP ROLE guest")


def test_role_with_too_many_rights_is_refused(empty: Address) -> None:
    with as_owner(empty) as connection:
        connection.execute("CREATE ROLE gatepost_app BYPASSRLS")
    with pytest.raises(DatabaseUnavailable, match="rights that it must not have"):
        migrate(empty)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE gatepost.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "CREATE FUNCTION gatepost.mine() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER TABLE public.checkpoints ADD COLUMN mine int",
        "ALTER TABLE gatepost.migration ADD COLUMN mine int",
        "DROP TABLE public.checkpoints CASCADE",
        "DROP TABLE gatepost.migration",
        "DROP SCHEMA gatepost CASCADE",
        "TRUNCATE public.checkpoints",
        "UPDATE gatepost.migration SET name = 'mine'",
        "DELETE FROM public.checkpoint_migrations",
        "INSERT INTO gatepost.clock_shift (shift) VALUES ('1 hour')",
        "UPDATE gatepost.clock_shift SET shift = '1 hour'",
        "DELETE FROM gatepost.clock_shift",
        "CREATE OR REPLACE FUNCTION gatepost.now() RETURNS timestamptz LANGUAGE sql RETURN clock_timestamp()",
        "ALTER ROLE gatepost_app BYPASSRLS",
        "UPDATE gatepost.approval SET digest = 'mine'",
        "UPDATE gatepost.approval SET request = '{}'",
        "UPDATE gatepost.approval SET status = 'open', act_by = NULL",
        "UPDATE gatepost.decision SET type = 'approve'",
        "DELETE FROM gatepost.decision",
        "UPDATE gatepost.effect SET key = 'mine'",
        "UPDATE gatepost.effect SET fingerprint = 'mine', arguments = '{}'",
        "UPDATE gatepost.effect SET approval_id = 'mine'",
        "DELETE FROM gatepost.effect",
        "UPDATE gatepost.run SET tenant = 'mine'",
        "UPDATE gatepost.run SET requested_by = 'mine'",
        "UPDATE gatepost.run SET status = 'queued', input = '{}'",
        "DELETE FROM gatepost.run",
        "UPDATE gatepost.step SET record = '{}'",
        "UPDATE gatepost.transition SET actor = 'mine'",
        "UPDATE gatepost.plan SET plan = '{}'",
        "UPDATE gatepost.artifact SET content = 'mine'",
        "SELECT pg_read_file('PG_VERSION')",
    ],
)
def test_application_role_may_not(migrated: Address, statement: LiteralString) -> None:
    with as_app(migrated) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


def test_application_role_changes_how_far_things_are_and_never_what_they_are(migrated: Address) -> None:
    """A column that comes later is refused until a migration grants it, and is named here then."""
    with as_owner(migrated) as connection:
        granted = connection.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c WHERE c.table_schema = 'gatepost' "
            "AND has_column_privilege('gatepost_app', format('gatepost.%I', c.table_name), c.column_name, 'UPDATE')"
        ).fetchall()
    changing: dict[str, set[str]] = {}
    for table, column in granted:
        changing.setdefault(table, set()).add(column)
    assert changing.keys() == {"run", "approval", "effect", "position", "breaker"}
    assert changing["approval"] == {"status", "closed_at", "taken_seq"}
    assert changing["effect"] >= {"state", "attempts", "epoch", "result", "failure", "finished_at"}
    assert not changing["effect"] & {"key", "run_id", "tenant", "step_id", "tool", "fingerprint", "arguments"}
    assert not changing["breaker"] & {"tenant", "provider"}
    assert not changing["run"] & {"run_id", "tenant", "root_run_id", "requested_by", "goal", "workflow", "input"}


def test_application_role_owns_nothing(migrated: Address) -> None:
    with as_owner(migrated) as connection:
        owned = connection.execute(
            "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid = 'gatepost_app'::regrole"
        ).fetchone()
        rights = connection.execute(
            "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles "
            "WHERE rolname = 'gatepost_app'"
        ).fetchone()
    assert owned == (0,)
    assert rights == (False,) * 5


def test_application_role_does_its_work(migrated: Address) -> None:
    with as_app(migrated) as connection, connection.transaction(force_rollback=True):
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        assert told(connection, "SELECT count(*) > 0 FROM checkpoint_migrations") is True
        assert told(connection, "SELECT gatepost.now() - clock_timestamp() < '1 second'") is True


def test_everybody_else_is_kept_out_of_the_schema(migrated: Address) -> None:
    with as_owner(migrated) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE ROLE stranger")
        connection.execute("SET LOCAL ROLE stranger")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT gatepost.now()")


def test_only_the_owner_moves_the_clock_and_everybody_sees_it(empty: Address) -> None:
    migrate(empty)
    with as_owner(empty) as connection, as_app(empty) as other:
        connection.execute("INSERT INTO gatepost.clock_shift (shift) VALUES ('3 days')")
        moved = told(other, "SELECT gatepost.now() - clock_timestamp()")
        assert isinstance(moved, timedelta)
        assert abs(moved - timedelta(days=3)) < timedelta(seconds=1)
        with pytest.raises(errors.UniqueViolation):
            connection.execute("INSERT INTO gatepost.clock_shift (shift) VALUES ('4 days')")


def test_clock_is_not_led_astray_by_names_of_the_caller(migrated: Address) -> None:
    with as_app(migrated) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMP TABLE clock_shift AS SELECT interval '9 years' AS shift")
        connection.execute("SET LOCAL search_path TO pg_temp, gatepost, public")
        assert told(connection, "SELECT gatepost.now() - clock_timestamp() < '1 second'") is True


def test_clock_reaches_an_index(migrated: Address) -> None:
    with as_app(migrated) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMP TABLE due (at timestamptz PRIMARY KEY)")
        connection.execute("SET LOCAL enable_seqscan TO off")
        plan = connection.execute("EXPLAIN SELECT FROM due WHERE at < gatepost.now()").fetchall()
    assert any("Index Cond" in line for (line,) in plan)


def test_both_roads_lead_to_one_schema(fresh: Callable[[], Address]) -> None:
    by_migrations, by_snapshot = fresh(), fresh()
    migrate(by_migrations)
    apply_snapshot(by_snapshot)
    assert dump(by_snapshot.owner) == dump(by_migrations.owner)
    assert migrate(by_snapshot) == []


def test_additions_to_langgraphs_tables_are_in_the_snapshot(
    cluster: str, fresh: Callable[[], Address], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_additions = (*migrations(), Migration(9001, "9001_pre_additions", ADDITIONS))
    monkeypatch.setattr(runner, "migrations", lambda: with_additions)
    monkeypatch.setattr(schema, "migrations", lambda: with_additions)
    monkeypatch.setattr(schema, "_snapshot_file", lambda: tmp_path / "schema.sql")
    (tmp_path / "schema.sql").write_text(render(cluster))
    by_migrations, by_snapshot = fresh(), fresh()
    migrate(by_migrations)
    apply_snapshot(by_snapshot)
    assert "ADD added text DEFAULT 'x'::text NOT NULL;" in (tmp_path / "schema.sql").read_text()
    assert dump(by_snapshot.owner) == dump(by_migrations.owner)


def test_snapshot_is_todays(cluster: str, fresh: Callable[[], Address]) -> None:
    stored = (files("gatepost.checkpointing") / "sql" / "schema.sql").read_text()
    assert stored == render(cluster), "run: python -m gatepost.checkpointing.schema"


def test_files_are_numbered_and_named_as_the_runner_reads_them() -> None:
    names = [entry.name for entry in (files("gatepost.checkpointing") / "sql" / "migrations").iterdir()]
    assert [name for name in names if not FILE_NAME.fullmatch(name)] == []
    assert len({name[:4] for name in names}) == len(names)
