"""Bringing a database to the form that this release needs: LangGraph's tables, the role, our numbered files.

A file runs once, in one transaction with the row that records it. Any number of processes may start on an empty
database at once: one migrates, the others wait and find it done. When nothing is missing it is one query and no
lock, because every process asks at its start. A database that other files have migrated is refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import errors
from psycopg.rows import DictRow

from gatepost.checkpointing.address import Address, connect
from gatepost.state.errors import DatabaseUnavailable

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.05
LOCK_KEY = 7449363237674382196  # the bytes of "gatepost" read as one number

FILE_NAME = re.compile(r"(\d{4})_(?:pre|post)_[a-z0-9_]+\.sql")
ANY_VERSION = 0

# 16 and later know a member that may not act as the role; 15 has no word for it.
READ_STATE = """
    SELECT (SELECT max(v) FROM public.checkpoint_migrations) AS langgraph,
           (SELECT json_object_agg(number, json_build_array(name, sha256)) FROM gatepost.migration) AS applied,
           COALESCE((SELECT pg_catalog.pg_has_role(oid, CASE
                         WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000
                         THEN 'SET' ELSE 'MEMBER' END)
                     FROM pg_catalog.pg_roles WHERE rolname = 'gatepost_app'), false) AS role
"""
ACT_AS_APPLICATION = "SET LOCAL ROLE gatepost_app"
READ_LANGGRAPH_STATE = "SELECT max(v) AS langgraph FROM public.checkpoint_migrations"
READ_OUR_STATE = """
    SELECT json_object_agg(number, json_build_array(name, sha256)) AS applied FROM gatepost.migration
"""
# A role's own settings could send LangGraph's tables elsewhere, or cut a long migration short. A lock that
# somebody holds is not waited for without end: everybody else would queue up behind the waiting migration.
STEADY = ("SET search_path TO public", "SET statement_timeout TO 0", "SET lock_timeout TO '30s'")
TRY_LOCK = "SELECT pg_catalog.pg_try_advisory_lock(%s) AS held"
RECORD = "INSERT INTO gatepost.migration (number, name, sha256) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    """The file's name without `.sql`."""
    script: bytes

    @property
    def sha256(self) -> str:
        """The checksum that is recorded when the file has run."""
        return hashlib.sha256(self.script).hexdigest()


@dataclass(frozen=True, slots=True)
class Missing:
    """What a database lacks."""

    langgraph: bool
    role: bool
    migrations: tuple[Migration, ...]

    @property
    def names(self) -> list[str]:
        """One name per step, in the order in which the steps run."""
        langgraph = [f"langgraph_{langgraph_version():04d}"] if self.langgraph else []
        role = ["role"] if self.role else []
        return [*langgraph, *role, *(migration.name for migration in self.migrations)]


def migrate(address: Address) -> list[str]:
    """Apply what the database lacks. Safe to call from any number of processes at once.

    Returns:
        The names of the steps that this call applied; empty when nothing was missing.

    Raises:
        DatabaseUnavailable: no connection; a step failed (it left nothing behind); somebody else migrates for
            more than two minutes; an applied file has changed; or a newer release has migrated the database.
    """
    with connect(address) as connection:
        if not _missing(connection, address).names:
            return []
        _hold_lock(connection, address)
        missing = _missing(connection, address)
        _apply(connection, missing, address)
        return missing.names


def migrate_ours(address: Address) -> list[str]:
    """As `migrate`, for a process that has no saver: LangGraph's tables have to be there, in any version.

    So LangGraph is imported only where there is something to apply.
    """
    with connect(address) as connection:
        if not _missing(connection, address, least=ANY_VERSION).names:
            return []
    return migrate(address)


def langgraph_version() -> int:
    """The number of the newest migration of LangGraph's own tables."""
    from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415  most processes find nothing to migrate

    return len(PostgresSaver.MIGRATIONS) - 1


def pending(address: Address) -> list[str]:
    """Return the names of the steps that `migrate` would apply, in order.

    Raises:
        DatabaseUnavailable: as for `migrate`.
    """
    with connect(address) as connection:
        return _missing(connection, address).names


def migrations() -> tuple[Migration, ...]:
    """Return the numbered files of this release, in order. Line ends do not count in their checksums."""
    folder = files("gatepost.checkpointing") / "sql" / "migrations"
    found = [
        Migration(int(match[1]), entry.name.removesuffix(".sql"), entry.read_bytes().replace(b"\r\n", b"\n"))
        for entry in folder.iterdir()
        if (match := FILE_NAME.fullmatch(entry.name))
    ]
    return tuple(sorted(found, key=lambda migration: (migration.number, migration.name)))


def prepare_ground(connection: psycopg.Connection[DictRow], address: Address) -> None:
    """Make what our files stand on: LangGraph's tables and the application role. Both are idempotent."""
    with _failure_named("LangGraph's setup()", address):
        from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415  as in langgraph_version

        PostgresSaver(connection).setup()
    with _failure_named("role.sql", address):
        role = files("gatepost.checkpointing") / "sql" / "role.sql"
        connection.execute(role.read_bytes(), prepare=False)


def record(connection: psycopg.Connection[DictRow], migration: Migration) -> None:
    """Write down that the file has run, in the transaction in which it ran."""
    connection.execute(RECORD, [migration.number, migration.name, migration.sha256])


def _apply(connection: psycopg.Connection[DictRow], missing: Missing, address: Address) -> None:
    for setting in STEADY:
        connection.execute(setting)
    if missing.langgraph or missing.role:
        prepare_ground(connection, address)
    for migration in missing.migrations:
        with _failure_named(f"migration {migration.name}", address), connection.transaction():
            # Unprepared, because a prepared statement is one statement and a file is many.
            connection.execute(migration.script, prepare=False)
            record(connection, migration)


def _hold_lock(connection: psycopg.Connection[DictRow], address: Address) -> None:
    """Take the database's migration lock for as long as the connection lives.

    Asked for again and again, never waited for inside Postgres: a waiting statement holds a snapshot, and the
    CREATE INDEX CONCURRENTLY of LangGraph's setup() waits for every snapshot. The two would wait for ever.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        row = connection.execute(TRY_LOCK, [LOCK_KEY]).fetchone()
        if row is not None and row["held"]:
            return
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"another process has been migrating {address.shown} for {PATIENCE_SECONDS:.0f} seconds: "
                "look for it in pg_stat_activity, end it and try again"
            )
        time.sleep(POLL_SECONDS)


def _missing(connection: psycopg.Connection[DictRow], address: Address, *, least: int | None = None) -> Missing:
    """What is missing; of LangGraph's tables that is whatever is older than `least`, by default its newest."""
    state = _read_state(connection, address)
    known = migrations()
    applied = {int(number): tuple(entry) for number, entry in (state["applied"] or {}).items()}
    _refuse_foreign(applied, {migration.number: migration for migration in known}, address)
    langgraph = state["langgraph"] is None or state["langgraph"] < (langgraph_version() if least is None else least)
    return Missing(
        langgraph=langgraph,
        role=not state["role"],
        migrations=tuple(migration for migration in known if migration.number not in applied),
    )


def _read_state(connection: psycopg.Connection[DictRow], address: Address) -> DictRow:
    """Read everything in one query, or piece by piece where a table is missing.

    A user who may not migrate need not: the application role may look, and so may whoever may act as it.
    """
    try:
        return _row(connection)
    except errors.UndefinedTable:
        pass
    except errors.InsufficientPrivilege:
        return _read_as_application(connection, address)
    except psycopg.Error as error:
        raise _unreadable(error, address) from error
    state: DictRow = {"langgraph": None, "applied": None, "role": False}
    for query in (READ_LANGGRAPH_STATE, READ_OUR_STATE):
        try:
            state |= connection.execute(query).fetchone() or {}
        except errors.UndefinedTable:
            continue
    return state


def _read_as_application(connection: psycopg.Connection[DictRow], address: Address) -> DictRow:
    try:
        with connection.transaction():
            connection.execute(ACT_AS_APPLICATION)
            return _row(connection)
    except psycopg.Error as error:
        raise _unreadable(error, address) from error


def _row(connection: psycopg.Connection[DictRow]) -> DictRow:
    return connection.execute(READ_STATE).fetchone() or {}


def _unreadable(error: psycopg.Error, address: Address) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the state of {address.shown} cannot be read ({_told(error)}): connect as the owner of the database, or let "
        "the owner GRANT gatepost_app to this user"
    )


def _refuse_foreign(applied: Mapping[int, tuple[str, str]], known: Mapping[int, Migration], address: Address) -> None:
    """Refuse a database that other files than ours have migrated."""
    for number, (name, sha256) in sorted(applied.items()):
        if number not in known:
            raise DatabaseUnavailable(
                f"the database {address.shown} is newer than this release: it has migration {name!r}, the newest "
                f"known here is {max(known):04d}; upgrade gatepost"
            )
        if known[number].sha256 != sha256:
            raise DatabaseUnavailable(
                f"migration {known[number].name!r} differs from the one that was applied to {address.shown} "
                f"(as {name!r}): restore the file, and put the change into a new one with the next number"
            )


@contextmanager
def _failure_named(step: str, address: Address) -> Iterator[None]:
    """Say which step failed, why, and what helps."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        cure = "migrate as the owner of the database; CREATEROLE, or a GRANT gatepost_app by a superuser, helps"
        raise DatabaseUnavailable(f"{step} failed on {address.shown} ({_told(error)}): {cure}") from error
    except errors.LockNotAvailable as error:
        cure = "end the long transactions in pg_stat_activity and try again"
        raise DatabaseUnavailable(f"{step} waited too long on {address.shown} ({_told(error)}): {cure}") from error
    except psycopg.Error as error:
        cure = "nothing of this step was kept; remove the cause and try again"
        raise DatabaseUnavailable(f"{step} failed on {address.shown} ({_told(error)}): {cure}") from error


def _told(error: psycopg.Error) -> str:
    """Return the server's own words, with its hint."""
    words = [error.diag.message_primary or str(error).strip(), error.diag.message_hint]
    return "; ".join(word for word in words if word)
