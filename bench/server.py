"""The server of a measurement: private, with its own settings, gone afterwards.

Or one that is named, which then gets a database for each row and loses them afterwards. What only a
private server can tell (its processes' CPU time, what its write-ahead log holds) is left out there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.server_home import Place
from gatepost.checkpointing.server_programs import find_programs

SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "16GB",  # no checkpoint falls into a measurement, and the log of each stays to be counted
    "checkpoint_timeout": "1h",
    "autovacuum": "off",  # its commits are not ours to count
    "log_checkpoints": "off",
}
PREFIX = "gatepost_bench"
SHIM = Path(__file__).with_name("slow_fsync.c")


@dataclass
class Server:
    """A running server."""

    url: str
    """Conninfo of a superuser, or at least of somebody who may create databases."""
    place: Place | None = None
    """Where it lives, if it is our own."""
    programs: Path | None = None
    _made: list[str] = field(default_factory=list)

    def database(self, name: str) -> str:
        """A new database; returns its conninfo."""
        name = f"{PREFIX}_{os.getpid()}_{name}".replace("-", "_")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._made.append(name)
        return make_conninfo(self.url, dbname=name)

    def drop(self) -> None:
        """Drop every database that was made."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in self._made:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._made.clear()

    def setting(self, name: str) -> str:
        """A server setting as it is in force."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        return str(row[0]) if row else ""


@contextmanager
def private_server(*, delay: timedelta | None = None, settings: dict[str, str] | None = None) -> Iterator[Server]:
    """An embedded server of our own, stopped and deleted afterwards.

    Args:
        delay: by how much each flush of the write-ahead log is slowed (needs a C compiler).
        settings: in place of, or besides, `SETTINGS`.
    """
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        home = Path(folder) / "home"
        try:
            url = ensure_server(home)
            with psycopg.connect(url, autocommit=True) as connection:
                for name, value in {**SETTINGS, **(settings or {})}.items():
                    connection.execute(
                        sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                    )
            stop_server(home)
            with _preloaded(home, delay):
                ensure_server(home)
            yield Server(url, Place.of(home), find_programs())
        finally:
            stop_server(home)


@contextmanager
def named_server(url: str) -> Iterator[Server]:
    """A server that runs already."""
    server = Server(url)
    try:
        yield server
    finally:
        server.drop()


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return next(
        (found for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (found := shutil.which(name))), None
    )


@contextmanager
def _preloaded(home: Path, delay: timedelta | None) -> Iterator[None]:
    """Start what is started in here with slow flushes."""
    if delay is None:
        yield
        return
    library = home / "slow_fsync.so"
    subprocess.run([str(compiler()), "-shared", "-fPIC", "-O2", "-o", str(library), str(SHIM), "-ldl"], check=True)
    library.chmod(0o755)
    os.environ.update(LD_PRELOAD=str(library), GATEPOST_FLUSH_DELAY_US=str(delay // timedelta(microseconds=1)))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["GATEPOST_FLUSH_DELAY_US"]
