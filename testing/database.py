"""Databases for tests: real ones, each test its own, cloned from a migrated template.

They live on the server that `GATEPOST_DATABASE_URL` names, or on the embedded one, and are dropped
when the test is over. A test moves the database's clock instead of waiting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.migrate import migrate

PREFIX = "gatepost_test"
_OWNED = re.compile(rf"{PREFIX}_(\d+)_")

SHIFT = """
INSERT INTO gatepost.clock_shift (shift) VALUES (%s)
ON CONFLICT (singleton) DO UPDATE SET shift = gatepost.clock_shift.shift + EXCLUDED.shift
"""


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """The clock of a test database. Only its owner can move it."""

    owner: str

    def shift(self, by: timedelta) -> None:
        """Let time pass, for every process that uses the database."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(SHIFT, [by])


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database of a test's own."""

    url: str
    """The owner's conninfo: pass it to `open_checkpointer`, or to processes as `GATEPOST_DATABASE_URL`."""

    @property
    def clock(self) -> DatabaseClock:
        """Its clock."""
        return DatabaseClock(self.url)


class Databases:
    """Makes and drops databases on one server.

    Args:
        server: where they live; its own database is never touched.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._made = 0
        self._template: str | None = None

    @contextmanager
    def empty(self) -> Iterator[Address]:
        """A database with nothing in it."""
        name = self._name("e")
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self._address(name)
        finally:
            self._drop(name)

    @contextmanager
    def migrated(self) -> Iterator[Database]:
        """A database with everything in place."""
        name = self._name("t")
        template = self._migrated_template()
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield Database(url=self._address(name).owner)
        finally:
            self._drop(name)

    def sweep(self) -> None:
        """Drop what test processes that died left behind; only sensible where all of them run on this machine."""
        with psycopg.connect(self._server.owner, autocommit=True) as connection:
            names = [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
        for name in names:
            if (owned := _OWNED.match(name)) and not _alive(int(owned[1])):
                self._drop(name)

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self._drop(self._template)

    def _migrated_template(self) -> str:
        if self._template is None:
            name = self._name("template")
            self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            migrate(self._address(name))
            self._template = name
        return self._template

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{PREFIX}_{os.getpid()}_{kind}{self._made}"

    def _address(self, name: str) -> Address:
        return resolve(make_conninfo(self._server.owner, dbname=name))

    def _drop(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.owner, autocommit=True) as connection:
            connection.execute(statement)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
