"""The floor: what Postgres itself asks for a durable row, and for an intent with its result, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from bench.engines.engine import TEXT, in_threads
from bench.marks import Marks

TABLE = """
CREATE TABLE IF NOT EXISTS floor (run text, step int, intent text, result text, PRIMARY KEY (run, step))
"""
ROW = "INSERT INTO floor (run, step, intent, result) VALUES (%s, %s, %s, %s)"
INTENT = "INSERT INTO floor (run, step, intent) VALUES (%s, %s, %s)"
RESULT = "UPDATE floor SET result = %s WHERE run = %s AND step = %s"


class _ByHand:
    """A connection for each run, and nothing else."""

    def prepare(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)

    def open(self, url: str, *, width: int) -> None:
        self._free = [psycopg.connect(url, autocommit=True, prepare_threshold=0) for _ in range(width)]

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        def one(run: str) -> None:
            connection = self._free.pop()
            for step in range(steps):
                self.step(connection, run, step, marks)
            self._free.append(connection)

        in_threads(one, runs, marks)

    def step(self, connection: psycopg.Connection, run: str, step: int, marks: Marks) -> None:
        raise NotImplementedError


class Floor(_ByHand):
    """INSERT and COMMIT."""

    def step(self, connection: psycopg.Connection, run: str, step: int, marks: Marks) -> None:
        marks.at(step)
        connection.execute(ROW, (run, step, TEXT, TEXT))


class IntentAndResult(_ByHand):
    """The least that protects an effect: say what will be done, do it, say how it ended."""

    def step(self, connection: psycopg.Connection, run: str, step: int, marks: Marks) -> None:
        connection.execute(INTENT, (run, step, TEXT))
        marks.at(step)
        connection.execute(RESULT, (TEXT, run, step))
