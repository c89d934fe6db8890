"""Rate limits over real HTTP: who asks too much is told when to come back, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.integration.serving import Served, service

from gatepost import Checkpointer
from gatepost.testing import Database

PROXY = "127.0.0.1"


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that lets little through, behind a proxy: us."""
    folder = tmp_path_factory.mktemp("limits")
    with service(town.url, town_hall, folder, "--rate", "1", "--trusted-proxy", PROXY) as found:
        yield found


def until_refused(client: httpx.Client, method: str, path: str, **options: object) -> tuple[int, httpx.Response]:
    """Ask until it is too much."""
    for number in range(80):
        answer = client.request(method, path, **options)  # type: ignore[arg-type]
        if answer.status_code == 429:
            return number, answer
    raise AssertionError("it was never too much")


def test_a_key_that_asks_too_much_is_told_when_to_come_back(served: Served) -> None:
    alice, bob = served.person("alice"), served.person("bob")
    number, answer = until_refused(alice.http, "GET", "/v1/runs")
    assert number >= 10
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"] == "/problems/too-many-requests"
    assert "Send it again" in answer.json()["next"]
    assert bob.get("/v1/runs")["runs"] == []
    assert httpx.get(f"{served.url}/health/live").status_code == 200


def test_what_nobody_knows_is_limited_for_its_address_alone(served: Served) -> None:
    carol = served.person("carol")
    carol.get("/v1/runs")
    with httpx.Client(base_url=served.url, headers={"X-Forwarded-For": "198.51.100.7"}) as guesser:
        wrong = {"Authorization": f"Bearer gp_{'x' * 43}"}
        number, _ = until_refused(guesser, "GET", "/v1/runs", headers=wrong)
        assert number >= 3
        page = guesser.get("/inbox", headers={"Accept": "text/html", "Cookie": "gatepost_session=x"})
        assert (page.status_code, "Too many requests" in page.text) == (429, True)
        assert guesser.get("/v1/runs", headers=dict(carol.http.headers)).status_code == 200
    elsewhere = {"X-Forwarded-For": "198.51.100.8"}
    assert httpx.get(f"{served.url}/v1/runs", headers=elsewhere).status_code == 401


def test_attempts_to_sign_in_and_to_open_links_are_limited(served: Served) -> None:
    for address, method, path, options in (
        ("198.51.100.9", "POST", "/sign-in", {"data": {"key": "gp_guess"}}),
        ("198.51.100.10", "GET", "/answer/guess", {}),
    ):
        with httpx.Client(base_url=served.url, headers={"X-Forwarded-For": address}) as guesser:
            number, _ = until_refused(guesser, method, path, **options)
            assert number >= 29
