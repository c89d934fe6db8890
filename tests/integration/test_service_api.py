"""The service over real HTTP: runs are started, followed and answered; and everything that must be refused is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from tests.acceptance.processes import wait_until
from tests.acceptance.warm import COMMAND, started
from tests.integration.counter import SELL
from tests.integration.serving import HERE, SECONDS, Person, Served

from gatepost import Checkpointer, build_graph
from gatepost.checkpointing.requests import Requests, Sent
from gatepost.service.http.house import STREAMS_OF_ONE
from gatepost.state import chain
from gatepost.state.approval import Decision
from gatepost.state.errors import AlreadyDecided
from gatepost.testing import Database

OTHER = "elsewhere"


@pytest.fixture(scope="module")
def mallory(served: Served) -> Person:
    """Who may everything in another tenant."""
    return served.person("mallory", tenant=OTHER)


@pytest.fixture(scope="module")
def waiting(alice: Person) -> dict[str, Any]:
    """A question of a run that stays as it is."""
    return alice.asked(alice.start(customer="ada", note=""))


def events(person: Person, run: str, **headers: str) -> list[dict[str, str]]:
    """The events of a run that has ended, as they are sent."""
    text = person.http.get(f"/v1/runs/{run}/events", headers=headers).text
    blocks = [block for block in text.split("\n\n") if "event:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in blocks]


def test_a_run_is_started_followed_answered_and_read_back(alice: Person, served: Served) -> None:
    run = alice.start(customer="bob", note="first")
    asked = alice.asked(run)
    assert (asked["tool"], asked["args"]["customer"], asked["allowed"][0]) == ("charge", "bob", "approve")
    recorded = alice.decide(asked["id"], type="approve", comment="fine", digest=asked["digest"]).json()
    shown = alice.wait(run, "succeeded")
    assert (recorded["by"], recorded["channel"], recorded["authenticated"]) == (
        "alice",
        "http",
        f"key:{alice.key.key_id}",
    )
    assert {step["step"]: step["status"] for step in shown["steps"]} == {"look": "succeeded", "charge": "succeeded"}
    export = alice.http.get(f"/v1/runs/{run}/export").content.splitlines(keepends=True)
    assert chain.verify(iter(export)).header["run"] == run
    exported = [json.loads(line) for line in export]
    (decision,) = [event for event in exported if event["what"] == "decision"]
    assert decision["detail"]["authenticated"] == f"key:{alice.key.key_id}"
    history = alice.get(f"/v1/runs/{run}/history", params={"limit": 2})
    assert history["next"] == history["transitions"][-1]["seq"]
    rest = alice.get(f"/v1/runs/{run}/history", params={"after": history["next"], "limit": 200})
    left = {"after": history["next"], "limit": len(rest["transitions"])}
    assert alice.get(f"/v1/runs/{run}/history", params=left)["next"] is None  # full, and the last one
    told = [int(event["id"]) for event in events(alice, run) if event["event"] == "transition"]
    assert told == [row["seq"] for row in history["transitions"] + rest["transitions"]]
    resumed = events(alice, run, **{"Last-Event-ID": str(told[2])})
    assert [int(event["id"]) for event in resumed if event["event"] == "transition"] == told[3:]
    assert resumed[-1]["event"] == "end"


def test_a_repeated_answer_is_told_what_is_recorded_and_another_one_is_refused(alice: Person, served: Served) -> None:
    run = alice.start(customer="carol", note="")
    asked = alice.asked(run)
    assert alice.decide(asked["id"], type="approve", digest="0" * 64).status_code == 409
    first, again = (alice.decide(asked["id"], type="reject", comment="no").json() for _ in range(2))
    assert (first["repeated"], again["repeated"]) == (False, True)
    other = alice.decide(asked["id"], type="approve")
    assert (other.status_code, other.json()["recorded"]["type"]) == (409, "reject")
    assert alice.wait(run, "rejected")


def test_an_edit_is_checked_before_it_is_recorded(alice: Person, waiting: dict[str, Any]) -> None:
    wrong = alice.decide(waiting["id"], type="edit", args={**waiting["args"], "cents": "many"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "cents" in wrong.json()["detail"]
    assert wrong.json()["next"]
    assert alice.get(f"/v1/approvals/{waiting['id']}")["decision"] is None


SHELLS, DESKS, BROWSERS = 3, 23, 24
"""Of fifty people: at the command line, in Python, over HTTP."""


def test_of_fifty_answers_by_http_command_line_and_python_at_once_one_counts(
    alice: Person, served: Served, town: Database, town_hall: Checkpointer
) -> None:
    """All of them have said yes before any of them is heard: somebody holds the run until they stand in line."""
    run = alice.start(customer="dora", note="")
    asked = alice.asked(run)["id"]
    before = len(served.calls())
    graph = build_graph([SELL], town_hall)
    people = [served.person(f"h{number}") for number in range(BROWSERS)]

    def by_http(person: Person) -> Told:
        said = person.decide(asked, type="approve")
        return (said.json()["by"], True) if said.status_code == 200 else (said.json()["recorded"]["by"], False)

    def by_python(number: int) -> Told:
        try:
            return graph.decide(Decision(approval=asked, type="approve", by=f"p{number}")).decision.by, True
        except AlreadyDecided as refused:
            return str(refused.recorded["by"]), False

    with ExitStack() as stack:
        let_go, waiting = _held(stack, town, run)
        shells = [_typed(stack, town, asked, f"c{number}") for number in range(SHELLS)]
        wait_until(lambda: waiting() == SHELLS, seconds=60)
        crowd = stack.enter_context(ThreadPoolExecutor(BROWSERS + DESKS))
        told = [crowd.submit(by_http, person) for person in people]
        told += [crowd.submit(by_python, number) for number in range(DESKS)]
        wait_until(lambda: waiting() > 2 * SHELLS, seconds=SECONDS)
        let_go()
        heard = [one.result() for one in told] + [_told(shell) for shell in shells]
    assert len(heard) == 50
    assert len({by for by, _ in heard}) == 1, "everybody is told of the same answer"
    assert sum(mine for _, mine in heard) == 1
    assert alice.wait(run, "succeeded")
    assert len(served.calls()) == before + 1


Told = tuple[str, bool]
"""Whose answer stands, and whether it is one's own."""


def _held(stack: ExitStack, town: Database, run: str) -> tuple[Callable[[], None], Callable[[], int]]:
    """Hold the row of a run; how to let go of it, and how many wait for that."""
    holding, looking = (stack.enter_context(psycopg.connect(town.url, autocommit=one)) for one in (False, True))
    holding.execute("SELECT FROM gatepost.run WHERE run_id = %s FOR UPDATE", [run])
    lined_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def waiting() -> int:
        (row,) = looking.execute(lined_up).fetchall()
        return int(row[0])

    return holding.commit, waiting


def _typed(stack: ExitStack, town: Database, asked: str, name: str) -> subprocess.Popen[str]:
    words = ["--workflows", "counter:WORKFLOWS", "approval", "approve", asked, "--as", name, "--no-run"]
    environ = {**os.environ, "GATEPOST_DATABASE_URL": town.url}
    process = started([*COMMAND, *words], cwd=HERE, env=environ, stdin=subprocess.DEVNULL, text=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _told(shell: subprocess.Popen[str]) -> Told:
    out, err = shell.communicate(timeout=SECONDS)
    found = re.search(r"approve by (\w+)", out + err)
    assert found, (out, err)
    assert shell.returncode in (0, 5), err
    return found[1], shell.returncode == 0


def test_a_start_that_is_sent_again_is_one_run(alice: Person, served: Served, town_hall: Checkpointer) -> None:
    def start(key: str | None, customer: str = "eve") -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return alice.http.post("/v1/runs", json={"goal": "sell", "input": {"customer": customer}}, headers=headers)

    key = str(uuid.uuid4())
    first, again = start(key), start(key)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other, without = start(key, customer="mallet"), start(None)
    assert (other.status_code, without.status_code) == (422, 400)
    under_way = Sent("local", "alice", str(uuid.uuid4()), "")
    town_hall.bridge.run(Requests(town_hall.pools).begin(under_way))
    assert start(under_way.request_key).status_code == 422  # another request has that key
    town_hall.bridge.run(_same_under_way(town_hall, key := str(uuid.uuid4()), alice))
    assert start(key).status_code == 409


async def _same_under_way(hall: Checkpointer, key: str, alice: Person) -> None:
    request = alice.http.build_request("POST", "/v1/runs", json={"goal": "sell", "input": {"customer": "eve"}})
    fingerprint = hashlib.sha256(b"POST /v1/runs\0" + request.content).hexdigest()
    await Requests(hall.pools).begin(Sent("local", "alice", key, fingerprint))


def test_a_refused_start_does_not_use_its_key_up(alice: Person) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    wrong = alice.http.post("/v1/runs", json={"goal": "sell it all"}, headers=headers)
    right = alice.http.post("/v1/runs", json={"goal": "sell", "input": {"customer": "x"}}, headers=headers)
    assert (wrong.status_code, right.status_code) == (422, 202)


def test_an_operator_holds_releases_and_cancels(alice: Person) -> None:
    run = alice.asked(alice.start(customer="finn", note=""))["run"]

    def order(what: str) -> httpx.Response:
        return alice.http.post(f"/v1/runs/{run}/{what}", json={"reason": "a test"})

    assert order("hold").json()["status"] == "held"
    assert order("resume").json()["status"] == "blocked"
    assert order("release").status_code == 422
    assert order("cancel").json()["status"] == "cancelled"
    again = order("cancel")
    assert (again.status_code, "has ended" in again.json()["detail"]) == (422, True)


# who may what


def test_a_key_with_one_other_byte_is_none_and_a_revoked_or_expired_one_neither(
    served: Served, town_hall: Checkpointer, owner: Any
) -> None:
    key = served.key("gus")
    for at in range(len(key.secret)):
        other = "A" if key.secret[at] != "A" else "B"
        wrong = key.secret[:at] + other + key.secret[at + 1 :]
        assert town_hall.bridge.run(served.keys.of_secret(wrong)) is None
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key.secret}"}) as gus:
        assert gus.get("/v1/runs").status_code == 200
        town_hall.bridge.run(served.keys.revoke(key.key_id, "local", by="test"))
        assert gus.get("/v1/runs").status_code == 401
    expired = served.key("hal")
    owner.change("UPDATE gatepost.api_key SET expires_at = gatepost.now() WHERE key_id = %s", expired.key_id)
    headers = {"Authorization": f"Bearer {expired.secret}"}
    assert httpx.get(f"{served.url}/v1/runs", headers=headers).status_code == 401


def test_a_key_is_stored_nowhere(served: Served, alice: Person, owner: Any) -> None:
    (row,) = owner.rows("SELECT k::text AS text FROM gatepost.api_key k WHERE key_id = %s", alice.key.key_id)
    assert alice.key.secret[3:] not in row["text"]
    assert alice.key.secret not in repr(alice.key)


def test_a_requester_does_not_decide_in_a_tenant_of_several_people(served: Served, mallory: Person) -> None:
    asked = mallory.asked(mallory.start(customer="ida", note=""))
    refused = mallory.decide(asked["id"], type="approve")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-decision")
    assert served.person("niaj", tenant=OTHER).decide(asked["id"], type="reject").status_code == 200


# what is refused before it is read


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["another site", "no site", "fetch metadata"],
)
def test_another_site_changes_nothing(alice: Person, waiting: dict[str, Any], headers: dict[str, str]) -> None:
    path = f"/v1/approvals/{waiting['id']}/decision"
    refused = alice.http.post(path, json={"type": "approve"}, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/cross-origin")


def test_every_response_may_be_neither_framed_nor_sniffed(alice: Person) -> None:
    for path in ("/v1/runs", "/v1/runs/none", "/nowhere", "/health/live"):
        headers = alice.http.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


def test_another_name_for_our_address_is_not_answered(served: Served) -> None:
    assert httpx.get(f"{served.url}/health/live", headers={"Host": "rebound.example"}).status_code == 421


def test_a_body_that_is_too_long_is_refused_whatever_it_says_of_its_length(served: Served, alice: Person) -> None:
    long = b'{"goal": "' + b"x" * 300_000 + b'"}'
    said = alice.http.post("/v1/runs", content=long)
    streamed = alice.http.post("/v1/runs", content=iter([long[:200_000], long[200_000:]]))
    assert (said.status_code, streamed.status_code) == (413, 413)
    place = urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port)) as half:  # who never sends the rest disturbs nobody
        half.sendall(b"POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        assert alice.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "query",
    ["status=%27%20OR%201=1", "limit=0", "limit=100000", "after=x", "search=%00", "after=WzEsMiwzXQ"],
)
def test_a_query_that_is_none_is_refused(alice: Person, query: str) -> None:
    assert alice.http.get(f"/v1/runs?{query}").status_code == 422


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v1/runs", "after, limit, status, workflow, search"),
        ("/v1/approvals", "after, limit, status, run, workflow"),
        ("/v1/runs/{run}/history", "after, limit"),
        ("/v1/runs/{run}/artifacts", "after, limit"),
        ("/v1/workflows", "none"),
    ],
)
def test_a_misspelt_name_is_answered_with_those_there_are(
    alice: Person, waiting: dict[str, Any], path: str, known: str
) -> None:
    refused = alice.http.get(path.format(run=waiting["run"]), params={"statuss": "failed"})
    assert (refused.status_code, refused.json()["detail"]) == (422, f"query/statuss: unknown here. Known: {known}")


def test_a_body_that_is_not_said_to_be_json_is_answered_with_how(alice: Person) -> None:
    said = alice.http.post("/v1/runs", content=b'{"goal": "sell"}', headers={"Content-Type": "text/plain"})
    assert (said.status_code, "Content-Type: application/json" in said.json()["next"]) == (422, True)


@pytest.mark.parametrize("text", ["%' OR '1'='1", "_", "%", "'; DROP TABLE gatepost.run --", "\u202e"])
def test_a_search_is_text_and_nothing_else(alice: Person, waiting: dict[str, Any], text: str) -> None:
    assert alice.get("/v1/runs", params={"search": text})["runs"] == []
    assert alice.get("/v1/runs", params={"search": waiting["run"][:12]})["runs"][0]["id"] == waiting["run"]


def test_pages_of_runs_show_each_once(alice: Person) -> None:
    whole = [run["id"] for run in alice.get("/v1/runs", params={"limit": 200})["runs"]]
    paged, after = [], None
    while True:
        page = alice.get("/v1/runs", params={"limit": 2, **({"after": after} if after else {})})
        paged += [run["id"] for run in page["runs"]]
        if (after := page["next"]) is None:
            break
    assert sorted(paged) == sorted(whole)


def test_whoever_leaves_at_once_gives_the_place_back(alice: Person, served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    for _ in range(2 * STREAMS_OF_ONE):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\n".encode())
            line.sendall(f"Authorization: Bearer {alice.key.secret}\r\n\r\n".encode())
    wait_until(lambda: _is_let_in(alice))


def _is_let_in(person: Person) -> bool:
    with person.http.stream("GET", "/v1/events") as stream:
        return stream.status_code == 200


def test_a_run_that_is_cancelled_undoes_what_its_workflow_says(alice: Person, served: Served) -> None:
    run = alice.start("stay", customer="dora")
    asked = alice.asked(run)
    alice.decide(asked["id"], type="approve", digest=asked["digest"])
    wait_until(lambda: alice.get(f"/v1/runs/{run}")["reason"].startswith("spa waits for "))
    answer = alice.http.post(f"/v1/runs/{run}/cancel", json={"reason": "ill"})
    assert answer.status_code == 200, answer.text
    shown = alice.wait(run, "compensated")
    assert {step["step"]: step["status"] for step in shown["steps"]} == {"room": "compensated", "spa": "cancelled"}
