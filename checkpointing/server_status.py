"""Whether the server of a home runs: what its socket answers, and which process it is.

Invariant: no file is believed by itself: a pid file may be left over and name anybody. Nor is a socket: a server
whose folder was deleted listens on for a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import psycopg

from gatepost.checkpointing.server_home import ELSEWHERE, Place
from gatepost.state.errors import DatabaseUnavailable

NOT_OPEN_YET = ("starting up", "shutting down", "recovery", "not yet accepting")

Answer = Literal["ready", "busy", "absent"]
"""ready: it takes connections; busy: it starts or ends; absent: nobody listens."""


def answer(place: Place) -> Answer:
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
    return "ready" if theirs and theirs == pid_lines(place)[:3] else "absent"


def _refusal(place: Place, message: str) -> Answer:
    if "ermission denied" in message:
        raise DatabaseUnavailable(
            f"the embedded server in {str(place.home)!r} belongs to another user: run as that user, or {ELSEWHERE}"
        )
    if any(words in message for words in NOT_OPEN_YET):
        return "busy"
    # Refused by a server that is up, for want of a free connection: the caller hears that from it.
    return "ready" if "FATAL:" in message else "absent"


def pid_lines(place: Place) -> list[str]:
    """Return the lines of the pid file; none where there is no such file."""
    try:
        return place.pid_file.read_text().splitlines()
    except FileNotFoundError:  # asked for and not looked for: a server that ends takes it away at any moment
        return []


def postmaster_of(place: Place) -> int | None:
    """Return the process id in the pid file when it is a live Postgres of this very folder.

    After a reboot the file may name anybody, and in a container a killed server may stay a zombie: Postgres
    takes both for a running server and refuses to start.
    """
    import psutil  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  comes with the extra, as the programs do

    lines = pid_lines(place)
    if not lines or not lines[0].strip().isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        ours = process.name() == "postgres" and Path(process.cwd()).samefile(place.data)
    except (psutil.Error, OSError):
        return None
    return int(process.pid) if ours else None
