"""Counting: what the server did between two moments.

Commits are counted in the write-ahead log itself, by pg_waldump: a commit that wrote nothing leaves no
record there, so reads do not count, and whatever an engine does behind its doors does. Bytes of the log
are those of its records, without the page images that follow a checkpoint: how often those come is a
setting. (On a server that is not our own: transaction ids given out, which only writers are given, and
all bytes.)
CPU time is what the kernel's clocks say of the server's processes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from bench.server import Server

MOMENT = """
SELECT pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
COMMITS = re.compile(r"^\s*Transaction/COMMIT\s+(\d+)", re.MULTILINE)
TOTAL = re.compile(r"^\s*Total\s+\d+\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the counters showed when every run waited at a mark."""

    at: float
    lsn: str
    transactions: int
    table_bytes: int
    server_seconds: float | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What happened between two moments."""

    commits: int
    wal_bytes: int
    table_bytes: int
    server_seconds: float | None


class Counter:
    """Looks at a server while it is measured.

    Args:
        server: which.
        url: the database whose tables count.
    """

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self._connection = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def now(self) -> Moment:
        """Read the counters."""
        lsn, transactions = self._one(MOMENT)
        (size,) = self._one("SELECT pg_database_size(current_database())")
        return Moment(time.perf_counter(), str(lsn), int(transactions), int(size), self._server_seconds())

    def between(self, before: Moment, after: Moment) -> Counted:
        """The difference; slow, so asked for when the measurement is over."""
        seconds = None
        if before.server_seconds is not None and after.server_seconds is not None:
            seconds = after.server_seconds - before.server_seconds
        if self._server.place is None:
            (wal_bytes,) = self._one("SELECT pg_wal_lsn_diff(%s, %s)::bigint", after.lsn, before.lsn)
            commits = after.transactions - before.transactions
        else:
            commits, wal_bytes = self._logged(before.lsn, after.lsn)
        return Counted(
            commits=commits,
            wal_bytes=int(wal_bytes),
            table_bytes=after.table_bytes - before.table_bytes,
            server_seconds=seconds,
        )

    def _logged(self, start: str, end: str) -> tuple[int, int]:
        """Commits, and bytes of records."""
        place, programs = self._server.place, self._server.programs
        assert place is not None
        assert programs is not None
        if start == end:
            return 0, 0
        self._connection.execute("SELECT pg_logical_emit_message(false, 'bench', '', true)")  # flushed up to here
        command = [str(programs / "pg_waldump"), "--stats=record", f"--start={start}", f"--end={end}"]
        command.append(f"--path={place.data / 'pg_wal'}")
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        commits = sum(int(found) for found in COMMITS.findall(told))
        return commits, sum(int(found) for found in TOTAL.findall(told))

    def _one(self, query: LiteralString, *values: str) -> tuple[Any, ...]:
        row = self._connection.execute(query, values).fetchone()
        assert row is not None
        return row

    def _server_seconds(self) -> float | None:
        if self._server.place is None or sys.platform != "linux":
            return None
        processes = self._connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
        return sum(_cpu_seconds(process) for (process,) in processes)


def _cpu_seconds(process: int) -> float:
    """The CPU time of another process, to the nanosecond: its clock is named by its id (Linux, clock_getcpuclockid)."""
    try:
        return time.clock_gettime((~process << 3) | 2)
    except OSError:  # it has ended since
        return 0.0
