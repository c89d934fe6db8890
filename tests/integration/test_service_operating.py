"""What an operator, an auditor and a person with many questions do over HTTP, against a real service."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.serving import HERE, Person, Served, service

from gatepost import Checkpointer
from gatepost.checkpointing.requests import Requests, Sent
from gatepost.service.http.problem import Refused
from gatepost.service.http.replays import Code, Replays
from gatepost.testing import Database


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workflows' tools look."""
    return tmp_path_factory.mktemp("operating")


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, folder: Path) -> Iterator[Served]:
    """A service on the module's database."""
    with service(town.url, town_hall, folder) as found:
        yield found


@pytest.fixture(scope="module")
def weighed(alice: Person) -> str:
    """A run that has succeeded, with artifacts."""
    run = alice.start("weigh", customer="salt")
    alice.wait(run, "succeeded")
    return run


def post(person: Person, path: str, key: str | None = None, **given: Any) -> httpx.Response:
    """Send something, under a key of its own."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return person.http.post(path, json=given, headers=headers, timeout=60)


def failed(person: Person, folder: Path, what: str) -> str:
    """A run whose first step has failed."""
    (folder / f"broken-{what}").touch()
    run = person.start("weigh", customer=what)
    person.wait(run, "failed")
    (folder / f"broken-{what}").unlink()
    return run


def problem(answer: httpx.Response) -> tuple[int, str]:
    """What was refused, and how: with the next step always."""
    said = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert said["next"], said
    return answer.status_code, said["type"].removeprefix("/problems/")


# operators


def test_what_a_recovery_would_do_is_shown_and_then_done(alice: Person, folder: Path) -> None:
    run = failed(alice, folder, "pepper")
    shown = alice.get(f"/v1/runs/{run}/recovery", params={"mode": "resume"})
    assert [(step["step"], step["what"]) for step in shown["steps"]] == [("first", "try again")]
    assert alice.get(f"/v1/runs/{run}")["status"] == "failed"
    told = post(alice, f"/v1/runs/{run}/recover", mode="resume", reason="the scales are back")
    assert (told.status_code, told.json()["run"]) == (200, run)
    assert alice.wait(run, "succeeded")
    assert problem(post(alice, f"/v1/runs/{run}/recover", mode="resume", reason="again")) == (422, "mistake")
    assert problem(post(alice, f"/v1/runs/{run}/recover", mode="resume")) == (422, "invalid-request")


def test_a_step_is_tried_again_or_left_out(alice: Person, folder: Path) -> None:
    again, without = failed(alice, folder, "sugar"), failed(alice, folder, "flour")
    assert post(alice, f"/v1/runs/{again}/steps/first/retry", reason="mended").status_code == 200
    assert alice.wait(again, "succeeded")
    assert problem(post(alice, f"/v1/runs/{without}/steps/third/retry", reason="x")) == (404, "not-found")
    assert post(alice, f"/v1/runs/{without}/steps/first/skip", reason="not needed").status_code == 200
    shown = alice.wait(without, "succeeded")
    assert {step["step"]: step["status"] for step in shown["steps"]} == {"first": "skipped", "second": "succeeded"}
    assert problem(post(alice, f"/v1/runs/{again}/steps/first/skip", reason="too late")) == (422, "mistake")


def test_who_moves_a_run_next_is_said_in_a_sentence(alice: Person, weighed: str) -> None:
    asked = alice.asked(alice.start(customer="ada", note=""))
    said = alice.get(f"/v1/runs/{asked['run']}/why")
    assert (said["kind"], said["command"]) == ("approval", ["gatepost", "approval", "show", asked["id"]])
    assert alice.get(f"/v1/runs/{weighed}/why")["kind"] == "ended"


# auditors


def test_artifacts_are_listed_and_saved_and_never_opened(alice: Person, weighed: str) -> None:
    listed = alice.get(f"/v1/runs/{weighed}/artifacts")["artifacts"]
    assert sorted((row["name"], row["media_type"]) for row in listed) == [
        ("ticket.html", "text/html"),
        ("ticket.json", "application/json"),
    ]
    plain, page = (alice.http.get(f"/v1/runs/{weighed}/artifacts/ticket.{kind}") for kind in ("json", "html"))
    assert plain.headers["content-type"] == "application/json"
    assert page.headers["content-type"] == "application/octet-stream"
    for answer in (plain, page):
        assert answer.headers["content-disposition"].startswith("attachment")
    assert problem(alice.http.get(f"/v1/runs/{weighed}/artifacts/ticket.json", params={"version": 2})) == (
        404,
        "unknown-artifact",
    )


def test_a_replay_says_that_it_went_the_same_way_or_where_it_did_not_and_why(
    alice: Person, weighed: str, served: Served
) -> None:
    dated = alice.start("weigh", customer="thyme", dated=True)
    alice.wait(dated, "succeeded")
    before = len(served.calls())
    same = post(alice, f"/v1/runs/{weighed}/replay", clocks=False).json()
    assert (same["identical"], same["divergence"], same["transitions"]) == (True, None, same["last"])
    assert problem(post(alice, f"/v1/runs/{weighed}/replay", begin=5, until=2)) == (422, "mistake")
    assert problem(post(alice, f"/v1/runs/{weighed}/replay", begin=same["last"] + 1)) == (422, "mistake")
    with ThreadPoolExecutor(1) as beside:
        replayed = beside.submit(post, alice, f"/v1/runs/{dated}/replay")
        while wait([replayed], timeout=0.2).not_done:  # it moves the clock by years, and not the service's
            assert time.strftime("%Y", time.gmtime()) in alice.http.get("/health/live").headers["date"]
    other = replayed.result().json()
    assert (other["identical"], other["divergence"]["cause"]) == (False, "wall clock read directly")
    assert other["divergence"]["differences"][0].keys() == {"path", "recorded", "replayed"}
    assert len(served.calls()) == before


def test_whatever_ends_a_line_elsewhere_ends_none_of_a_record(alice: Person) -> None:
    run = alice.start("weigh", customer="one\u2028{}\u2029two\x85three")
    alice.wait(run, "succeeded")
    found = post(alice, f"/v1/runs/{run}/replay")
    assert (found.status_code, found.json().get("identical")) == (200, True), found.text


def test_a_key_has_one_replay_at_a_time(alice: Person, weighed: str) -> None:
    with ThreadPoolExecutor(4) as crowd:
        answers = list(crowd.map(lambda _: post(alice, f"/v1/runs/{weighed}/replay"), range(4)))
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status_code != 200:
            assert problem(answer) == (429, "too-many-replays")
            assert answer.headers["retry-after"]


def test_a_replay_that_never_ends_or_is_too_long_is_given_up(
    alice: Person, town_hall: Checkpointer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = alice.start("weigh", customer="mint")
    alice.wait(run, "succeeded")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("COUNTER_BOOK", str(folder / "book"))
    (folder / "endless").touch()
    try:
        for options, why in (
            ({"seconds": 1.5}, "seconds"),
            ({"longest": 1}, "transitions;"),
            ({"largest": 99}, "bytes;"),
        ):
            refused = town_hall.bridge.run(_refused(town_hall, run, **options))
            assert (refused.problem.slug, why in refused.problem.detail) == ("replay-too-long", True), why
    finally:
        (folder / "endless").unlink()


async def _refused(hall: Checkpointer, run: str, **options: Any) -> Refused:
    replays = Replays(hall, Code(("counter:WORKFLOWS",)), **options)
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(replays.verdict(await hall.runs.get(run, "local"), key_id="key"), 60)
    return refused.value


def test_a_fork_is_started_once_and_moved_by_a_worker(alice: Person, served: Served) -> None:
    run = alice.start(customer="bob", note="first")
    asked = alice.asked(run)
    alice.decide(asked["id"], type="approve", digest=asked["digest"])
    alice.wait(run, "succeeded")
    before = len(served.calls())
    at = next(row["seq"] for row in alice.get(f"/v1/runs/{run}/history")["transitions"] if row["nodes"] == ["planner"])
    key = str(uuid.uuid4())
    first, again = (post(alice, f"/v1/runs/{run}/fork", key, at=str(at), set={"input.note": "x"}) for _ in range(2))
    assert (first.status_code, again.json()["id"]) == (202, first.json()["id"])
    fork = alice.wait(first.json()["id"], "failed", "succeeded", "blocked")
    assert (fork["input"]["note"], len(served.calls())) == ("x", before)
    assert problem(alice.http.post(f"/v1/runs/{run}/fork", json={"at": "1"})) == (400, "idempotency-key")
    for nowhere in ("9999", "9" * 19, "\x00", "a\x00"):
        assert problem(post(alice, f"/v1/runs/{run}/fork", at=nowhere)) == (422, "mistake"), nowhere
    assert problem(post(alice, f"/v1/runs/{run}/fork", at=str(at), set={"tenant": "x"})) == (422, "mistake")
    starter = served.person("carl", scopes=("read", "start"))
    assert problem(post(starter, f"/v1/runs/{run}/fork", at=str(at), effects="fire")) == (403, "scope")
    blind = served.person("sam", scopes=("start",))
    assert problem(post(blind, f"/v1/runs/{run}/fork", at=str(at))) == (403, "scope")


# many questions


def test_several_questions_get_one_answer_only_where_they_ask_for_one_action(alice: Person, served: Served) -> None:
    asked = [alice.asked(alice.start(customer=f"c{number}", note="")) for number in range(3)]
    room = alice.asked(alice.start("stay", customer="dora"))
    items = [{"approval": one["id"], "digest": one["digest"]} for one in (*asked, room)]
    mixed = post(alice, "/v1/approvals/decisions", type="approve", items=items)
    assert problem(mixed) == (422, "different-actions")
    assert [alice.get(f"/v1/approvals/{one['id']}")["status"] for one in asked] == ["open"] * 3
    alice.decide(asked[1]["id"], type="reject")
    items = [*items[:2], {**items[2], "digest": "0" * 64}, {"approval": "apr_none", "digest": "0" * 64}]
    results = post(alice, "/v1/approvals/decisions", type="approve", comment="all", items=items).json()["results"]
    assert [result["status"] for result in results] == [200, 409, 409, 404]
    assert results[0]["decision"]["authenticated"] == f"key:{alice.key.key_id}"
    assert results[1]["problem"]["recorded"]["type"] == "reject"
    assert all(result["problem"]["next"] for result in results[1:])


def test_a_comment_answers_nothing_and_is_on_record(alice: Person) -> None:
    asked = alice.asked(alice.start(customer="emil", note=""))
    said = post(alice, f"/v1/approvals/{asked['id']}/comments", text="is this the new account?")
    assert (said.status_code, said.json()["by"]) == (201, "alice")
    shown = alice.get(f"/v1/approvals/{asked['id']}")
    assert (shown["status"], shown["life"][-1]["reason"]) == ("open", "is this the new account?")


# the same request again


def test_a_change_whose_answer_failed_is_not_made_again(alice: Person, town_hall: Checkpointer) -> None:
    """As after a database that went away between the change and its answer: what is left of it is in the table."""
    run = alice.asked(alice.start(customer="finn", note=""))["run"]
    key, path = str(uuid.uuid4()), f"/v1/runs/{run}/hold"
    assert post(alice, path, key, reason="a").json()["status"] == "held"
    untold = "UPDATE gatepost.answered_request SET status = NULL, body = %s WHERE request_key = %s"
    told = '{"run": "%s", "status": "held", "obeyed": true}' % run  # noqa: UP031 (JSON has braces of its own)
    town_hall.bridge.run(_execute(town_hall, untold, told, key))
    again = post(alice, path, key, reason="a")
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()["status"]) == (200, "true", "held")
    assert problem(post(alice, path, key, reason="b")) == (422, "idempotency-key-reused")


def test_only_what_changed_nothing_is_forgotten(town_hall: Checkpointer) -> None:
    requests = Requests(town_hall.pools)
    refused, broken, done = (Sent("local", "alice", str(uuid.uuid4()), "x") for _ in range(3))

    async def sent() -> None:
        for one in (refused, broken, done):
            assert await requests.begin(one) is None
        await requests.forget(refused)
        await requests.give_up(broken)
        await requests.carried_out(done, {"run": "r"})
        await requests.forget(done)
        other = [await requests.begin(Sent("local", "alice", one.request_key, "y")) for one in (refused, broken, done)]
        assert other[0] is None
        assert [before and before.same for before in other[1:]] == [False, False]
        assert await requests.begin(broken) is None
        again = await requests.begin(done)
        assert again is not None
        assert (again.same, again.status, again.body) == (True, None, {"run": "r"})

    town_hall.bridge.run(sent())


async def _execute(hall: Checkpointer, statement: Any, *params: Any) -> None:
    async with hall.pools.connection() as connection:
        await connection.execute(statement, params)
