"""Tries to do as the application role what only the owner may; and to be kept from work that needs no owner."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from gatepost import open_checkpointer
from gatepost.checkpointing import migrate as runner
from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.migrate import Migration, migrate, migrations, pending
from gatepost.state.errors import DatabaseUnavailable


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
        "UPDATE gatepost.vote SET principal = 'mine'",
        "DELETE FROM gatepost.vote",
        "DELETE FROM gatepost.approval_event",
        "UPDATE gatepost.principal_role SET role = 'mine'",
        "UPDATE gatepost.delegation SET ends_at = 'infinity'",
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


PEOPLE = ("principal_role", "delegation")


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
    service = {"api_key", "answered_request", "notice", "policy_in_force"}
    assert changing.keys() == {"run", "approval", "effect", "position", "breaker", "intervention", *PEOPLE, *service}
    assert changing["api_key"] == {"revoked_at", "revoked_by", "expires_at"}
    assert changing["approval"] == {
        *("status", "closed_at", "taken_seq", "level", "decide_by"),
        *("impact", "judged", "judged_under"),
    }
    assert changing["principal_role"] == {"revoked_by", "revoked_at"}
    assert changing["delegation"] == {"ended_by", "ended_at"}
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


@pytest.fixture(params=["INHERIT", "NOINHERIT"])
def user(migrated: Address, request: pytest.FixtureRequest) -> Iterator[Address]:
    """A user who may act as the application role, and no more."""
    with as_owner(migrated) as connection:
        connection.execute(sql.SQL("CREATE ROLE worker LOGIN {}").format(sql.SQL(request.param)))
        connection.execute("GRANT gatepost_app TO worker")
        yield resolve(make_conninfo(migrated.owner, user="worker"))
        connection.execute("DROP ROLE worker")


def test_user_who_may_not_migrate_works_where_nothing_is_missing(user: Address) -> None:
    assert (pending(user), migrate(user)) == ([], [])
    with open_checkpointer(user.owner) as checkpointer:
        assert checkpointer.bridge.run(checkpointer.runs.list("local")) == []


def test_user_who_may_not_migrate_is_told_what_helps(user: Address, migrated: Address) -> None:
    with as_owner(migrated) as connection, put_back(migrated, max(migrations(), key=lambda last: last.number)):
        with pytest.raises(DatabaseUnavailable, match="migrate as the owner of the database"):
            open_checkpointer(user.owner)
        connection.execute("REVOKE gatepost_app FROM worker")
        with pytest.raises(DatabaseUnavailable, match="connect as the owner of the database, or let the owner GRANT"):
            open_checkpointer(user.owner)


@contextmanager
def put_back(address: Address, last: Migration) -> Iterator[None]:
    """The last migration is not written down while the block runs."""
    with as_owner(address) as connection:
        connection.execute("DELETE FROM gatepost.migration WHERE number = %s", [last.number])
        yield
        connection.execute(runner.RECORD, [last.number, last.name, last.sha256])


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


def test_only_the_owner_moves_the_clock_and_everybody_sees_it(migrated: Address) -> None:
    with as_owner(migrated) as connection, as_app(migrated) as other:
        connection.execute("INSERT INTO gatepost.clock_shift (shift) VALUES ('3 days')")
        moved = told(other, "SELECT gatepost.now() - clock_timestamp()")
        assert isinstance(moved, timedelta)
        assert abs(moved - timedelta(days=3)) < timedelta(seconds=1)
        with pytest.raises(errors.UniqueViolation):
            connection.execute("INSERT INTO gatepost.clock_shift (shift) VALUES ('4 days')")
        connection.execute("DELETE FROM gatepost.clock_shift")


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
