"""Runs that only one test knows, whose rows it may put into any shape, and a mover who claims them."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from gatepost import Checkpointer
from gatepost.checkpointing.movers import Movers
from gatepost.checkpointing.runs import Admission
from gatepost.state.ids import RunId

HOUR = timedelta(hours=1)


class Yard:
    """Runs of a workflow that only one test knows, and a mover who claims them."""

    def __init__(self, hall: Checkpointer, owner: Any) -> None:
        self.hall, self.owner = hall, owner
        self.name = secrets.token_hex(4)
        self.movers = Movers(hall.pools, hall.runs)

    def admit(self, *names: str, version: str = "1", tenant: str = "local", **more: Any) -> None:
        """Write runs down, one after the other."""
        for name in names:
            self.hall.bridge.run(self.hall.runs.admit(self.admission(name, version=version, tenant=tenant, **more)))

    def admission(self, name: str, *, version: str = "1", tenant: str = "local", **more: Any) -> Admission:
        """What a run is started with."""
        return Admission(
            run_id=RunId(f"{self.name}-{name}"), tenant=tenant, requested_by="alice", goal="g", workflow=self.name,
            graph_version=version, input={}, fingerprint="f", **more,
        )  # fmt: skip

    def claim(self, slots: int = 10, **asked: Any) -> list[str]:
        """The names of the runs that a claim takes."""
        return [row["run_id"].removeprefix(f"{self.name}-") for row in self.rows(slots, **asked)]

    def rows(self, slots: int = 10, **asked: Any) -> list[dict[str, Any]]:
        """The rows that a claim takes."""
        asked = {"workflows": [self.name], "graph_version": "1", "slots": slots, **asked}
        return self.hall.bridge.run(self.movers.claim(**asked))

    def set(self, name: str, **columns: Any) -> None:
        """Change the row of a run behind everybody's back. A timedelta means that long from now."""
        for column, value in columns.items():
            moment = "gatepost.now() + %s::interval" if isinstance(value, timedelta) else "%s"
            statement = f"UPDATE gatepost.run SET {column} = {moment} WHERE run_id = %s"  # noqa: S608 (ours)
            self.owner.change(statement, value, f"{self.name}-{name}")

    def hold(self, name: str, left: timedelta, **columns: Any) -> None:
        """Somebody holds it, for so long."""
        statement = (
            "UPDATE gatepost.run SET owner = 'somebody', lease_expires_at = gatepost.now() + %s, status = 'running' "
            "WHERE run_id = %s"
        )
        self.owner.change(statement, left, f"{self.name}-{name}")
        self.set(name, **columns)

    def row(self, name: str) -> dict[str, Any]:
        """The row of a run."""
        found: dict[str, Any] = self.owner.run(f"{self.name}-{name}")
        return found

    def ask(self, name: str, status: str, *, taken: int | None = None, decide_by: timedelta | None = None) -> None:
        """A question of a run that is blocked by it."""
        self.set(name, status="blocked")
        self.owner.change(
            "INSERT INTO gatepost.approval (approval_id, run_id, step_id, status, digest, request, opened_seq, "
            "taken_seq, closed_at, decide_by) "
            "VALUES (%s, %s, 's', %s, 'd', '{}', 1, %s, %s, gatepost.now() + %s::interval)",
            f"apr_{secrets.token_hex(4)}", f"{self.name}-{name}", status, taken,
            None if status == "open" else self.owner.rows("SELECT now() AS at")[0]["at"], decide_by,
        )  # fmt: skip
