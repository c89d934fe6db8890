"""What the service gives nobody more of: time, space and places; and how it ends a session for every copy of it."""

from __future__ import annotations

import asyncio
import re
import socket
import uuid
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.acceptance.processes import wait_until
from tests.integration.serving import Person, Served

from gatepost.service.http import guard
from gatepost.service.http.guard import Guard, Place
from gatepost.service.http.house import EXPORTS_OF_ONE, STREAMS_OF_ONE

FORM = re.compile(r'name="form_token" value="([^"]+)"')


@pytest.fixture(scope="module")
def run(served: Served) -> str:
    """A run that waits for a person."""
    alice = served.person("alice")
    return str(alice.asked(alice.start(customer="ada", note=""))["run"])


def unread(person: Person, path: str) -> socket.socket:
    """Ask for something, take in the head of the answer, and read no further."""
    place = urlsplit(str(person.http.base_url))
    line = socket.create_connection((place.hostname, place.port))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n".encode())
    line.sendall(f"Authorization: Bearer {person.key.secret}\r\n\r\n".encode())
    assert line.recv(12) == b"HTTP/1.1 200"
    return line


def test_a_key_has_so_many_streams_and_another_key_has_its_own(served: Served) -> None:
    bob, carl = served.person("bob"), served.person("carl")
    with ExitStack() as open_ones:
        for _ in range(STREAMS_OF_ONE):
            open_ones.enter_context(unread(bob, "/v1/events"))
        refused = bob.http.get("/v1/events")
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-streams")
        assert refused.headers["retry-after"]
        open_ones.enter_context(unread(carl, "/v1/events"))
    wait_until(lambda: _is_let_in(bob))


def _is_let_in(person: Person) -> bool:
    with person.http.stream("GET", "/v1/events") as stream:
        return stream.status_code == 200


def test_a_key_has_so_many_exports_under_way(served: Served, owner: Any) -> None:
    """A reader who does not read holds its place, and nobody else's."""
    bob, carl = served.person("bob"), served.person("carl")
    run = bob.start(customer="x" * 200_000, note="y" * 40_000)
    bob.wait(run, "blocked")
    owner.change(
        "INSERT INTO gatepost.artifact (run_id, name, version, seq, step_id, media_type, content, sha256, parents) "
        "SELECT %s, 'a' || n, 1, 1, repeat('s', 9000), 'text/plain', '', '', '{}' FROM generate_series(1, 4000) n",
        run,
    )
    with ExitStack() as open_ones:
        for _ in range(EXPORTS_OF_ONE):
            open_ones.enter_context(unread(bob, f"/v1/runs/{run}/export"))
        refused = bob.http.get(f"/v1/runs/{run}/export")
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-exports")
        assert carl.http.get("/v1/runs").status_code == 200
    wait_until(lambda: bob.http.get(f"/v1/runs/{run}/export").status_code == 200)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs?limit=201",
        "/v1/approvals?limit=201",
        "/v1/runs/{run}/history?limit=201",
        "/v1/runs?search=" + 201 * "x",
    ],
)
def test_no_page_is_longer_than_there_are(served: Served, run: str, path: str) -> None:
    refused = served.person("dora").http.get(path.format(run=run))
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")


def test_a_page_of_approvals_is_full_with_a_megabyte_and_the_next_goes_on(served: Served) -> None:
    gus = served.person("gus", tenant="wordy")
    runs = [gus.start(customer="ada", note=200_000 * "x") for _ in range(7)]
    asked = [gus.asked(run)["id"] for run in runs]
    pages = [gus.http.get("/v1/approvals")]
    while after := pages[-1].json()["next"]:
        pages.append(gus.http.get("/v1/approvals", params={"after": after}))
    assert [len(page.content) // 1_000_000 for page in pages] == [1, 0]
    assert sorted(one["id"] for page in pages for one in page.json()["approvals"]) == sorted(asked)
    assert gus.get(f"/v1/runs/{runs[0]}")["approvals"] == asked[:1]


def test_artifacts_are_listed_by_pages(served: Served) -> None:
    hal = served.person("hal")
    run = hal.start("weigh", customer="ada")
    hal.wait(run, "succeeded")
    whole, first = (hal.get(f"/v1/runs/{run}/artifacts{query}") for query in ("", "?limit=1"))
    second = hal.get(f"/v1/runs/{run}/artifacts?limit=1&after={first['next']}")
    assert (whole["next"], second["next"], len(whole["artifacts"])) == (None, None, 2)
    assert [*first["artifacts"], *second["artifacts"]] == whole["artifacts"]


def test_nothing_large_gets_into_one_request(served: Served, run: str) -> None:
    emil = served.person("emil")
    items = [{"approval": f"apr_{number}", "digest": "0" * 64} for number in range(51)]
    for path, body in (
        ("/v1/approvals/decisions", {"type": "approve", "items": items}),
        (f"/v1/runs/{run}/hold", {"reason": "x" * 2001}),
        (f"/v1/runs/{run}/fork", {"at": "1", "set": {f"input.{number}": 1 for number in range(51)}}),
    ):
        answer = emil.http.post(path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        assert answer.status_code == 422, path
    assert emil.http.post(f"/v1/runs/{run}/hold", json={"reason": "x"}, headers={"Idempotency-Key": "x" * 201}).is_error


def test_an_answer_that_does_not_begin_and_a_body_that_does_not_end_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def patience(*, answer: float, body: float) -> None:
        monkeypatch.setattr(guard, "ANSWER_SECONDS", answer)
        monkeypatch.setattr(guard, "BODY_SECONDS", body)

    async def slow(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.Event().wait()

    async def reading(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def ask(app: Any, body: Any) -> httpx.Response:
        transport = httpx.ASGITransport(Guard(app, Place(frozenset({"here"}))))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/", content=body)

    async def endless() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    async def dripping() -> Any:
        while True:
            yield b"{"
            await asyncio.sleep(0.01)

    patience(answer=0.05, body=30)
    assert asyncio.run(ask(slow, b"{}")).status_code == 503
    patience(answer=30, body=0.05)
    assert asyncio.run(ask(reading, endless())).status_code == 408
    assert asyncio.run(ask(reading, dripping())).status_code == 408


def test_signing_out_ends_every_copy_of_the_cookie(served: Served) -> None:
    key = served.person("fay").key.secret

    def signed_in(stack: ExitStack) -> httpx.Client:
        client = stack.enter_context(httpx.Client(base_url=served.url))
        client.post("/sign-in", data={"key": key})
        return client

    with ExitStack() as stack:
        here, elsewhere = signed_in(stack), signed_in(stack)
        copied = stack.enter_context(httpx.Client(base_url=served.url, cookies=dict(here.cookies)))
        assert copied.get("/v1/runs").status_code == 200
        token = FORM.search(here.get("/runs").text)
        assert token
        assert here.post("/sign-out", data={"form_token": token[1]}).status_code == 303
        assert copied.get("/v1/runs").status_code == 401
        assert copied.get("/runs").headers["location"].startswith("/sign-in")
        assert elsewhere.get("/v1/runs").status_code == 200
