"""Tries to make an approval count twice, or not at all: the same answer from two processes at once, a yes
against a no, an answer while another owner moves the run, an answer to a run that has long ended.

The two workers of a race have both read the run before; then each gets its command through its own pipe.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langgraph.types import Command
from tests.acceptance.processes import Office, Worker, wait_until

from gatepost import (
    ApprovalRequest,
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Step,
    Workflow,
    tool,
)
from gatepost.testing.plugin import GraphFactory

ROUNDS = 5


def test_same_answer_from_two_processes_at_once(office: Office, checkpointer: Checkpointer) -> None:
    workers = office.hire(), office.hire()
    for run in (f"twice-{number}" for number in range(ROUNDS)):
        asked = _blocked(workers, run)
        first, second = _race(workers, run, asked.approve(by="alice"), asked.approve(by="alice"))
        assert "error" not in first | second, (first, second)
        assert {first["decision"]["repeated"], second["decision"]["repeated"]} == {False, True}
        wait_until(lambda run=run: _status(checkpointer, run) == "succeeded")  # type: ignore[misc]
        assert _decisions(checkpointer, run) == [("approve", "alice")]
        assert (office.books(run, "final_decision")["effects"], office.books(run, "final_decision")["attempts"]) == (
            1,
            1,
        )
    assert office.acts()["decisions"] == ROUNDS


def test_approve_against_reject_at_once(office: Office, checkpointer: Checkpointer) -> None:
    workers = office.hire(), office.hire()
    for number in range(ROUNDS):
        run = f"against-{number}"
        asked = _blocked(workers, run)
        answers = [asked.approve(by="alice"), asked.reject(by="bob", comment="no")]
        # Whose command is written first changes from round to round, so that both sides get to win.
        order = workers if number % 2 else workers[::-1]
        reports = _race(order, run, *(answers if number % 2 else answers[::-1]))
        (lost,) = [report for report in reports if "error" in report]
        (won,) = [report for report in reports if "error" not in report]
        assert lost["error"] == "AlreadyDecided"
        assert (lost["recorded"]["type"], lost["recorded"]["by"]) == (won["decision"]["type"], won["decision"]["by"])
        approved = won["decision"]["type"] == "approve"
        assert won["status"] == ("succeeded" if approved else "rejected")
        assert len(_decisions(checkpointer, run)) == 1
        assert office.books(run, "final_decision")["attempts"] == (1 if approved else 0)


def test_answer_again_after_the_end(office: Office, checkpointer: Checkpointer) -> None:
    worker, run = office.hire(), "again"
    asked = _blocked((worker,), run)
    first = worker.do("answer", run, asked.approve(by="alice", comment="fine"))
    again = office.hire().do("answer", run, asked.approve(by="alice", comment="fine, as I said"))
    assert (again["status"], again["decision"]["repeated"]) == ("succeeded", True)
    assert again["decision"]["at"] == first["decision"]["at"]
    assert again["decision"]["comment"] == "fine", "it is the recorded answer that is told, not the repeated one"
    other = worker.do("answer", run, asked.approve(by="bob"))
    assert (other["error"], other["recorded"]["by"]) == ("AlreadyDecided", "alice")
    assert _decisions(checkpointer, run) == [("approve", "alice")]
    assert office.books(run, "final_decision")["attempts"] == 1


def test_answer_again_while_it_is_carried_out(office: Office, checkpointer: Checkpointer) -> None:
    first, second, run = office.hire(), office.hire(), "carried-out"
    asked = _blocked((first, second), run)
    office.services.fault("/decisions", kind="hang_after")
    first.tell("answer", run, asked.approve(by="alice"))
    office.services.held(at_least=1, seconds=20)
    again = second.do("answer", run, asked.approve(by="alice"))
    assert (again.get("status"), again.get("error")) == ("running", None), again
    assert again["decision"]["repeated"]
    other = second.do("answer", run, asked.reject(by="bob"))
    assert other["error"] == "AlreadyDecided"
    office.services.release()
    assert first.report()["status"] == "succeeded"
    assert office.books(run, "final_decision")["attempts"] == 1
    assert _decisions(checkpointer, run) == [("approve", "alice")]


def test_answer_while_another_owner_moves_the_run(gatepost_graph: GraphFactory) -> None:
    go_on, acted = threading.Event(), []

    @tool(effect="read")
    def look() -> bool:
        return go_on.wait(20)

    @tool(effect="write", on_doubt="retry")
    def act(ctx: EffectContext) -> None:
        acted.append(ctx.idempotency_key)

    plan = Plan(steps=(Step(id="look", tool="look"), Step(id="act", tool="act")))
    workflow = Workflow(name="both", goals=("both",), strategy=FixedPlan(plan), tools=(look, act))
    graph: GatepostGraph = gatepost_graph([workflow])
    config: Any = {"configurable": {"thread_id": "moving"}}
    with ThreadPoolExecutor() as pool:
        moving = pool.submit(graph.invoke, {"goal": "both"}, config)
        wait_until(lambda: bool(_asked(graph.saver, "moving")))
        asked = ApprovalRequest.model_validate(_asked(graph.saver, "moving")[0]["request"])
        answered = graph.invoke(Command(resume=asked.approve(by="alice")), config)
        assert (answered["status"], answered["decision"]["repeated"], acted) == ("running", False, [])
        go_on.set()
        assert moving.result()["status"] == "succeeded", "the owner did not take the answer that came meanwhile"
    assert len(acted) == 1


def _blocked(workers: tuple[Worker, ...], run: str) -> ApprovalRequest:
    """A run that waits for a person, which every worker has seen."""
    asked = workers[0].do("start", run)["approval"]
    for worker in workers:
        assert worker.do("look", run)["approval"] == asked
    return ApprovalRequest.model_validate(asked)


def _race(workers: tuple[Worker, ...], run: str, *answers: dict[str, Any]) -> list[dict[str, Any]]:
    for worker, answer in zip(workers, answers, strict=True):
        worker.tell("answer", run, answer)
    return [worker.report() for worker in workers]


def _status(checkpointer: Checkpointer, run: str) -> str:
    return str(checkpointer.bridge.run(checkpointer.runs.get(run, "local"))["status"])


def _decisions(checkpointer: Checkpointer, run: str) -> list[tuple[str, str]]:
    return [(row["type"], row["principal"]) for row in _asked(checkpointer, run) if row["principal"]]


def _asked(checkpointer: Checkpointer, run: str) -> list[dict[str, Any]]:
    return checkpointer.bridge.run(checkpointer.approvals.list("local", status=None, run_id=run))
