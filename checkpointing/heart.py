"""The heartbeat: one thread of a process renews the leases of all runs that the process holds.

Invariant: it has a thread and a connection of its own, so neither a tool that blocks an event loop
nor a pool without a free connection loses a run. A lease that could not be renewed in time is given
up here before anybody else may take it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

import psycopg

from gatepost.checkpointing.address import Address
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import RunSession

Link: TypeAlias = psycopg.Connection

LEAST_CONNECT_SECONDS = 2
"""libpq takes whole seconds, and less than two as two."""


class Heart:
    """Renews leases in the background while runs are held; starts and ends by itself.

    Args:
        address: where the database is.
        ttl: how long a lease lasts; it is renewed three times as often.
    """

    def __init__(self, address: Address, ttl: timedelta) -> None:
        self._address = address
        self._ttl = ttl
        self._held: list[RunSession] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def hold(self, session: RunSession) -> None:
        """Renew this session's lease until `drop`."""
        with self._changed:
            self._held.append(session)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="gatepost-heart", daemon=True)
                self._thread.start()

    def drop(self, session: RunSession) -> None:
        """Renew it no more."""
        with self._changed:
            if session in self._held:
                self._held.remove(session)

    def close(self) -> None:
        """Stop; runs that are still held are not renewed any more."""
        with self._changed:
            self._held.clear()
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _beat(self) -> None:
        connection: Link | None = None
        idle = 0
        while True:
            with self._changed:
                self._changed.wait(timeout=self._ttl.total_seconds() / 3)
                held = list(self._held)
                idle = 0 if held else idle + 1
                if idle > 1 or self._thread is not threading.current_thread():
                    if self._thread is threading.current_thread():
                        self._thread = None
                    break
            if held:
                connection = self._renew_all(connection, held)
        if connection is not None:
            connection.close()

    def _renew_all(
        self, connection: psycopg.Connection | None, held: Sequence[RunSession]
    ) -> psycopg.Connection | None:
        """One beat; gives back the connection for the next, or None when it broke."""
        asked = time.monotonic()
        try:
            connection = connection or self._connect()
            found = connection.execute(
                query("run.extend"),
                {
                    "run_ids": [session.run.run_id for session in held],
                    "epochs": [session.epoch for session in held],
                    "ttl": self._ttl,
                },
            ).fetchall()
        except (psycopg.Error, OSError):
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()
            self._give_up_late_ones(held)
            return None
        ours = {(run_id, epoch): ordered for run_id, epoch, ordered in found}
        for session in held:
            if (held_as := (session.run.run_id, session.epoch)) in ours:
                session.renewed = asked
                session.hear(ours[held_as])
            else:
                session.lost = "its lease was taken over"
        return connection

    def _give_up_late_ones(self, held: Sequence[RunSession]) -> None:
        for session in held:
            if time.monotonic() - session.renewed > self._ttl.total_seconds():
                session.lost = f"its lease could not be renewed for {self._ttl.total_seconds():g} s"

    def _connect(self) -> Link:
        patience = self._ttl.total_seconds() / 3
        connection = psycopg.connect(
            self._address.app,
            autocommit=True,
            prepare_threshold=0,
            connect_timeout=max(LEAST_CONNECT_SECONDS, int(patience)),
            application_name="gatepost heart",
        )
        connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{max(1, int(patience * 1000))}ms"])
        return connection
