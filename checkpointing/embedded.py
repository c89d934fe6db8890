"""The embedded PostgreSQL: a real server under the user's data folder, started on demand.

A home has at most one server. Whoever needs it asks its socket first and starts it, under a file lock, only
when nobody answers. The server belongs to no process: it has a session of its own, it outlives the process
that started it, and whatever a kill or a reboot leaves behind is cleared by the next start.

`server_home` says where things are, `server_programs` runs them, `server_status` says what is there by now.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs

from gatepost.checkpointing.server_home import (
    Account,
    Place,
    check_cluster,
    failure,
    faults_named,
    find_account,
    open_home,
)
from gatepost.checkpointing.server_programs import find_programs, initialise, logged, start
from gatepost.checkpointing.server_status import answer, pid_lines, postmaster_of
from gatepost.state.errors import DatabaseUnavailable

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
NO_PROCESS = 2**31 - 1  # no kernel gives this process id

SOCKET_FILES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")


def default_home() -> Path:
    """Return $GATEPOST_HOME, or the user's data folder for gatepost."""
    chosen = os.environ.get("GATEPOST_HOME")
    return Path(chosen) if chosen else platformdirs.user_data_path("gatepost", appauthor=False)


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
        if answer(place) != "ready":
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
        postmaster = postmaster_of(place)
        if postmaster is None:
            return False
        os.kill(postmaster, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while place.pid_file.exists() and postmaster_of(place) == postmaster:
            _pause(deadline, DatabaseUnavailable(f"the embedded server does not stop: end process {postmaster}"))
        return True


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
    while (found := answer(place)) != "ready":
        postmaster = postmaster_of(place)
        if found == "busy" or postmaster is not None:
            _end_unreachable(place, postmaster)
            _pause(deadline, failure(place, "the embedded server runs but does not open", logged(place)))
            continue
        check_cluster(place, account)
        if not place.data.exists():
            initialise(place, account, programs)
        _clear_leftovers(place)
        if in_the_way := start(place, account, programs, patience=PATIENCE_SECONDS):
            # Sessions of a killed server end within moments, and the server of a killed starter opens by itself.
            _pause(deadline, failure(place, "another server is in the way", in_the_way))


def _end_unreachable(place: Place, postmaster: int | None) -> None:
    """End a server that lost its socket, as when something cleaned the temporary folder: nobody can reach it."""
    status = [line.strip() for line in pid_lines(place)[7:]]
    lost = status == ["ready"] and not (place.socket_folder / SOCKET_FILES[0]).exists()
    if lost and postmaster is not None:
        os.kill(postmaster, signal.SIGINT)


def _clear_leftovers(place: Place) -> None:
    """Unlock what a kill or a reboot left: nobody answers, and no postmaster lives here."""
    for name in SOCKET_FILES:
        (place.socket_folder / name).unlink(missing_ok=True)
    if lines := pid_lines(place):
        # Not deleted: Postgres looks into the shared memory it names for orphans of the dead server.
        with place.pid_file.open("r+") as file:
            file.write("\n".join([str(NO_PROCESS), *lines[1:]]) + "\n")
            file.truncate()
