"""The snapshot `sql/schema.sql`: what the migrations add to a database, as one file to read and compare.

The snapshot is never edited: `python -m gatepost.checkpointing.schema` writes it, from a database that LangGraph
alone has set up and one that is fully migrated; what the second has more is ours. A test builds a database by
each road and finds their dumps equal.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing.address import Address, connect, resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.migrate import STEADY, migrate, migrations, prepare_ground, record
from gatepost.checkpointing.server_programs import find_programs
from gatepost.state.errors import DatabaseUnavailable

HEADER = """\
-- The whole schema that the migrations make, beside LangGraph's tables and role.sql.
-- Written by: python -m gatepost.checkpointing.schema. Do not edit; write a migration.
"""
BLOCK = re.compile(r"^--\n-- Name: (?P<title>.+?)(?:; Owner: .*)?\n--\n", re.MULTILINE)
TOKEN = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)
NOISE = re.compile(r"^(?:SET default_\w+ = .*;|-- PostgreSQL database dump complete|--)\n", re.MULTILINE)
COLUMNS = re.compile(r"^CREATE TABLE (?P<table>\S+) \(\n(?P<columns>.*?)\n\)(?P<rest>.*)", re.DOTALL | re.MULTILINE)

INDEX = re.compile(r"(?P<name>\w+); Type: INDEX; Schema: (?P<schema>\w+)")

CREATE_DATABASE = sql.SQL("CREATE DATABASE {}")
DROP_DATABASE = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
# The dump qualifies every name, and its order does not follow what functions mention.
QUALIFIED = ("SET LOCAL search_path TO ''", "SET LOCAL check_function_bodies TO off")

Blocks = dict[str, str]
"""The parts of a dump by title ("now(); Type: FUNCTION; Schema: gatepost")."""


def apply_snapshot(address: Address) -> None:
    """Build an empty database by the other road: LangGraph's setup(), role.sql, then the snapshot.

    The migrations are recorded as applied, so `migrate` finds nothing to do afterwards.

    Raises:
        DatabaseUnavailable: no connection, or a step before the snapshot failed.
    """
    with connect(address) as connection:
        for setting in STEADY:
            connection.execute(setting)
        prepare_ground(connection, address)
        with connection.transaction():
            for setting in QUALIFIED:
                connection.execute(setting)
            connection.execute(_snapshot_file().read_bytes(), prepare=False)
            for migration in migrations():
                record(connection, migration)


def dump(conninfo: str) -> str:
    """Return the database's schema as pg_dump prints it, without owners, versions, tokens and settings.

    Raises:
        DatabaseUnavailable: pg_dump is missing, or failed; its own words are in the message.
    """
    command = [str(find_programs() / "pg_dump"), "--schema-only", "--no-owner", f"--dbname={conninfo}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  ours
    if result.returncode:
        raise DatabaseUnavailable(f"pg_dump failed ({result.stderr.strip()}): see that it reaches the database")
    steady = TOKEN.sub("", result.stdout)
    first = BLOCK.search(steady)
    return steady[first.start() :] if first else ""


def render(cluster: str) -> str:
    """Return the text of the snapshot that belongs to today's migrations.

    Args:
        cluster: conninfo of a superuser on a server where two scratch databases may come and go.
    """
    with _scratch(cluster, "gatepost_schema_theirs") as theirs, _scratch(cluster, "gatepost_schema_ours") as ours:
        with connect(theirs) as connection:
            prepare_ground(connection, theirs)
        migrate(ours)
        return HEADER + "\n" + "\n\n".join(_added(_blocks(dump(theirs.owner)), _blocks(dump(ours.owner)))) + "\n"


def main() -> None:
    """Write the snapshot, with a server of its own that lives as long as this process."""
    with tempfile.TemporaryDirectory(prefix="gatepost-") as folder:
        try:
            text = render(ensure_server(Path(folder)))
        finally:
            stop_server(Path(folder))
    _snapshot_file().write_text(text)
    sys.stdout.write(f"{_snapshot_file().name}: {len(text.splitlines())} lines\n")


def _snapshot_file() -> Path:
    return Path(str(files("gatepost.checkpointing") / "sql" / "schema.sql"))


@contextmanager
def _scratch(cluster: str, name: str) -> Iterator[Address]:
    """Lend a fresh database."""
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(DROP_DATABASE.format(sql.Identifier(name)))
        connection.execute(CREATE_DATABASE.format(sql.Identifier(name)))
        try:
            yield resolve(make_conninfo(cluster, dbname=name))
        finally:
            connection.execute(DROP_DATABASE.format(sql.Identifier(name)))


def _blocks(dumped: str) -> Blocks:
    """Cut a dump at the comment above each of its objects."""
    titles = list(BLOCK.finditer(dumped))
    ends = [*(title.start() for title in titles[1:]), len(dumped)]
    return {
        title["title"]: NOISE.sub("", dumped[title.end() : end]).strip()
        for title, end in zip(titles, ends, strict=True)
    }


def _added(theirs: Blocks, ours: Blocks) -> list[str]:
    """Return the statements that lead from LangGraph's database to ours."""
    changed = [
        _extended(title, theirs[title], block) if title in theirs else block
        for title, block in ours.items()
        if theirs.get(title) != block
    ]
    return [*(_dropped(title) for title in sorted(theirs.keys() - ours.keys())), *changed]


def _dropped(title: str) -> str:
    """Write what is gone of LangGraph's: an index may be, for it holds nothing."""
    if (index := INDEX.fullmatch(title)) is None:
        raise ValueError(f"a migration removed what LangGraph made: {title}")
    return f"DROP INDEX {index['schema']}.{index['name']};"


def _extended(title: str, before: str, after: str) -> str:
    """Write a changed table of LangGraph as ALTER TABLE: columns and constraints come one to a line."""
    old, new = COLUMNS.search(before), COLUMNS.search(after)
    if old is None or new is None:
        raise ValueError(f"a migration changed what LangGraph made, other than by adding: {title}")
    lines = [line.strip().removesuffix(",") for line in new["columns"].splitlines()]
    known = {line.strip().removesuffix(",") for line in old["columns"].splitlines()}
    if missing := known - set(lines):
        raise ValueError(f"a migration changed columns of LangGraph: {sorted(missing)}")
    added = [f"ALTER TABLE {new['table']} ADD {line};" for line in lines if line not in known]
    # What follows the columns: FORCE ROW LEVEL SECURITY, storage and the like.
    followed = [line for line in new["rest"].lstrip(";").splitlines() if line and line not in old["rest"]]
    return "\n".join([*added, *followed])


if __name__ == "__main__":
    main()
