"""Tries to break the migrations: four processes on an empty database, databases of one cluster at once, edited
files, databases from the future, a step that fails in its middle.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing import migrate as runner
from gatepost.checkpointing import schema
from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.books import open_books
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.migrate import FILE_NAME, Migration, migrate, migrate_ours, migrations, pending
from gatepost.checkpointing.schema import apply_snapshot, dump, render
from gatepost.service.cli.desk import Desk, Options
from gatepost.state.errors import DatabaseUnavailable

CREATE = sql.SQL("CREATE DATABASE {}")
DROP = sql.SQL("DROP DATABASE {} WITH (FORCE)")
LANGGRAPH = f"langgraph_{runner.langgraph_version():04d}"
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
OPTIONS = Options(database=None, workflows=(), policy=None, policies=None, principal=None, no_input=True)


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


def test_nothing_missing_takes_one_query_and_no_lock(empty: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    execute: Callable[..., Any] = psycopg.Connection.execute
    migrate(empty)

    def listening(connection: object, query: object, *rest: object, **named: object) -> Any:
        asked.append(query)
        return execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", listening)
    assert migrate(empty) == []
    assert asked == [runner.READ_STATE]


def test_who_has_no_saver_brings_only_our_tables_up_to_date(empty: Address) -> None:
    """LangGraph's own tables have to be there: the saver is what knows in which version."""
    assert migrate_ours(empty) == [LANGGRAPH, "role", *OURS]
    with as_owner(empty) as connection:
        connection.execute("DELETE FROM checkpoint_migrations WHERE v = (SELECT max(v) FROM checkpoint_migrations)")
        assert migrate_ours(empty) == []
        with open_books(empty.owner) as books:
            assert Desk(books, OPTIONS).books is books
            assert pending(empty) == [LANGGRAPH]
            assert Desk(books, OPTIONS).checkpointer.pools is books.pools
        assert pending(empty) == []
        connection.execute("TRUNCATE checkpoint_migrations")
    assert migrate_ours(empty) == [LANGGRAPH]


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


def test_index_that_a_killed_setup_left_half_built_is_gone(empty: Address) -> None:
    migrate(empty)
    with as_owner(empty) as connection:
        connection.execute("DELETE FROM gatepost.migration WHERE name = '0060_pre_no_second_index'")
        connection.execute("CREATE INDEX checkpoints_thread_id_idx ON checkpoints (thread_id)")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'checkpoints_thread_id_idx'::regclass"
        )
    assert migrate(empty) == ["0060_pre_no_second_index"]
    with as_owner(empty) as connection:
        alone: LiteralString = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'checkpoint%thread_id_idx'"
        assert told(connection, alone) == 0


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
