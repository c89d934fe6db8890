"""Makes the recorded histories anew: `python -m tests.golden`, from the repository's root.

Only when what is recorded changed its form on purpose; a history that no longer replays is otherwise a run in flight
that the new code would break.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.acceptance.processes import serving
from tests.golden import workflows as made

from gatepost import GatepostGraph, Policy, build_graph, open_checkpointer, record
from gatepost.checkpointing.address import resolve
from gatepost.examples import loan
from gatepost.examples.services import SERVICES_VARIABLE
from gatepost.examples.vendor_onboarding import GOAL, WORKFLOW
from gatepost.testing import approve, finish, respond
from gatepost.testing.database import Databases

HERE = Path(__file__).parent


def main() -> None:
    """Write one file for each way that a run can go."""
    databases = Databases(resolve())
    with databases.migrated() as database, open_checkpointer(database.url, migrate=False) as checkpointer:
        graph = build_graph(made.WORKFLOWS, checkpointer, policy=made.ALL)
        for name, goal in made.GOALS.items():
            finish(graph, {"goal": goal}, {"configurable": {"thread_id": name}})
            _write(graph, name)
        other = build_graph([made.sale(charge="debit")], checkpointer, policy=made.ALL)
        finish(other, {"goal": "sell"}, {"configurable": {"thread_id": "diverges"}})
        _write(other, "diverges")
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "books.sqlite") as url:
            os.environ[SERVICES_VARIABLE] = url
            review = build_graph([WORKFLOW], checkpointer, policy=Policy.default())
            answers = [respond("please get the insurance certificate"), approve()]
            finish(review, {"goal": GOAL}, {"configurable": {"thread_id": "vendor_onboarding"}}, answers=answers)
            _write(review, "vendor_onboarding")
            role = checkpointer.people.grant("alice", "compliance", tenant="local", by="alice")
            checkpointer.bridge.run(role)
            lending = build_graph([loan.WORKFLOW], checkpointer, policy=Policy.default())
            finish(lending, {"goal": loan.GOAL}, {"configurable": {"thread_id": "loan"}}, answers=[approve()])
            _write(lending, "loan")
    databases.close()


def _write(graph: GatepostGraph, name: str) -> None:
    (HERE / f"{name}.jsonl").write_text("\n".join(record(graph, name).lines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
