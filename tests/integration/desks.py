"""Fixtures of the tests of the service: it runs on the module's database, and Alice sits before it.

A module whose service is started otherwise has a `served` of its own, and the others follow it.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.integration.browser import Tab, browser
from tests.integration.serving import Person, Served, service

from gatepost import Checkpointer
from gatepost.testing import Database

HOSTILE = "<img src=x onerror=alert(1)></code></textarea><script>alert(2)</script>'\"{{7*7}}\u202e"


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service on the module's database."""
    with service(town.url, town_hall, tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def alice(served: Served) -> Person:
    """Who may everything in the tenant `local`."""
    return served.person("alice")


@pytest.fixture(scope="module")
def sold(alice: Person) -> str:
    """A run that has ended, in which everybody wrote markup."""
    run = alice.start(customer=HOSTILE, note=HOSTILE)
    alice.decide(alice.asked(run)["id"], type="approve", comment=HOSTILE)
    alice.wait(run, "succeeded")
    return run


@pytest.fixture(scope="module")
def tab(served: Served, alice: Person) -> Iterator[Tab]:
    """Alice's browser, signed in."""
    with browser() as found:
        sign_in(found, served, alice)
        yield found


@pytest.fixture(scope="module")
def desk(served: Served, alice: Person) -> Iterator[httpx.Client]:
    """Alice's browser without its scripts, signed in."""
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}, timeout=30) as client:
        client.post("/sign-in", data={"key": alice.key.secret})
        yield client


def sign_in(tab: Tab, served: Served, person: Person) -> None:
    """Type the key, and enter."""
    tab.look()
    tab.open(f"{served.url}/sign-in")
    tab.run(f"document.querySelector('#key').value = {person.key.secret!r}")
    tab.click("#with-key button")
