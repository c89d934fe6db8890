"""Links for mail and chat over real HTTP: looking decides nothing, one answer counts, and all others get one page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.browser import browser, needs_chromium
from tests.integration.serving import HERE, Person, Served, service

from gatepost import Checkpointer
from gatepost.checkpointing.links import Links
from gatepost.checkpointing.overview import Overview
from gatepost.service.http import links
from gatepost.testing import Database

KEY, OLD_KEY = "k" * 40, "o" * 40
OTHER = "elsewhere"
Mint = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps its log, and we the keys."""
    found = tmp_path_factory.mktemp("links")
    (found / "keys").write_text(f"{KEY}\n{OLD_KEY}\n")
    return found


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, folder: Path) -> Iterator[Served]:
    """A service on the module's database that has keys for links."""
    with service(town.url, town_hall, folder, GATEPOST_LINK_KEYS_FILE=str(folder / "keys")) as found:
        yield found


@pytest.fixture(scope="module")
def mint(served: Served, town_hall: Checkpointer) -> Mint:
    """Makes a link to a question, for bob unless otherwise said."""

    def made(asked: dict[str, Any], *, age: timedelta = timedelta(), key: str = KEY, **other: Any) -> str:
        now = town_hall.bridge.run(Overview(town_hall.pools).now()) - age
        said = {"tenant": "local", "principal": "bob", "digest": asked["digest"], "base": served.url, **other}
        return links.link_for(said.pop("approval", asked["id"]), now=now, keys=[key.encode()], **said)

    return made


@pytest.fixture
def asked(alice: Person) -> dict[str, Any]:
    """A question that nobody has answered."""
    return alice.asked(alice.start(customer="ada", note="<b>first</b>"))


def test_looking_decides_nothing_and_one_answer_is_recorded(
    alice: Person, served: Served, asked: dict[str, Any], mint: Mint, folder: Path
) -> None:
    address, before = mint(asked), len(served.calls())
    looked = [httpx.request(method, address).status_code for method in ("HEAD", "GET", "HEAD", "OPTIONS", "PUT")]
    assert looked == [200, 200, 200, 405, 405]
    shown = httpx.get(address)
    assert shown.status_code == 200
    for said in ("May <em>charge</em> run?", "&lt;b&gt;first&lt;/b&gt;", "100", "write", "You answer as <b>bob</b>"):
        assert said in shown.text
    assert alice.get(f"/v1/approvals/{asked['id']}")["decision"] is None
    token = address.rpartition("/")[2]
    assert (shown.headers["referrer-policy"], shown.headers["cache-control"]) == ("strict-origin", "no-store")
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    assert token not in shown.text
    assert "<script" not in shown.text
    recorded = httpx.post(address, data={"type": "approve", "comment": "fine"})
    assert (recorded.status_code, "by <b>bob</b>" in recorded.text) == (200, True)
    assert alice.wait(asked["run"], "succeeded")
    decision = alice.get(f"/v1/approvals/{asked['id']}")["decision"]
    assert (decision["by"], decision["channel"], decision["comment"]) == ("bob", "link", "fine")
    assert decision["authenticated"].startswith("link:")
    assert token not in (folder / "log").read_text()
    assert len(served.calls()) == before + 1


@needs_chromium
def test_in_a_browser_the_answer_is_sent_and_the_address_is_told_to_nobody(
    alice: Person, asked: dict[str, Any], mint: Mint
) -> None:
    with browser() as tab:
        tab.open(mint(asked))
        tab.click("button[value=reject]")
        assert tab.run("document.querySelector('h1').textContent") == "Recorded"
        tab.click(".brand")
        assert tab.run("document.referrer").count("/") == 3  # the service, and no path on it
    assert alice.wait(asked["run"], "rejected")


def test_every_link_that_does_not_answer_is_told_the_same(
    alice: Person, served: Served, asked: dict[str, Any], mint: Mint, town_hall: Checkpointer
) -> None:
    good = mint(asked)
    used = mint(asked_now := alice.asked(alice.start(customer="bea", note="")))
    assert httpx.post(used, data={"type": "reject"}).status_code == 200
    revoked = mint(asked)
    town_hall.bridge.run(Links(town_hall.pools).revoke(asked["id"], "local", principal="bob", by="alice"))
    dead = {
        "flipped": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "cut short": good[:-9],
        "another key's": mint(asked, key="x" * 40),
        "over": mint(asked, age=timedelta(hours=2), lasts=timedelta(hours=1)),
        "used": used,
        "of a question that is answered": mint(asked_now),
        "revoked": revoked,
        "of what was asked before": mint(asked, digest="0" * 64),
        "another tenant's": mint(asked, tenant=OTHER),
        "of no approval": mint(asked, approval="apr_ffffffffffff"),
        "nothing": f"{served.url}{links.PATH}x",
    }
    pages = {why: httpx.get(address) for why, address in dead.items()}
    pages |= {f"{why}, answered": httpx.post(address, data={"type": "approve"}) for why, address in dead.items()}
    assert {why: page.status_code for why, page in pages.items()} == dict.fromkeys(pages, 404)
    assert len({page.text for page in pages.values()}) == 1
    headers = [{**page.headers, "date": ""} for page in pages.values()]
    assert headers == headers[:1] * len(headers)
    assert "sign in" in pages["used"].text
    assert alice.get(f"/v1/approvals/{asked['id']}")["decision"] is None
    fresh = mint(
        asked, key=OLD_KEY
    )  # made after the others were revoked; its key still counts, though it signs no more
    assert httpx.get(fresh).status_code == 200
    assert httpx.get(mint(asked, principal="carol")).status_code == 200


def test_of_twenty_answers_at_once_by_one_link_one_counts(
    alice: Person, served: Served, asked: dict[str, Any], mint: Mint
) -> None:
    address, before = mint(asked), len(served.calls())
    with ThreadPoolExecutor(10) as crowd:
        codes = list(crowd.map(lambda _: httpx.post(address, data={"type": "approve"}).status_code, range(20)))
    assert sorted(codes) == [200] + [404] * 19
    assert alice.wait(asked["run"], "succeeded")
    assert len(served.calls()) == before + 1


def test_a_link_lets_nobody_decide_who_may_not_and_stays_good(served: Served, mint: Mint) -> None:
    mallory = served.person("mallory", tenant=OTHER)
    asked = mallory.asked(mallory.start(customer="ida", note=""))
    own = mint(asked, tenant=OTHER, principal="mallory")
    for _ in range(2):  # refused, it is not used up
        refused = httpx.post(own, data={"type": "approve", "comment": "let me"})
        assert (refused.status_code, "mallory may not decide" in refused.text) == (422, True)
        assert "let me" in refused.text
    assert httpx.post(own, data={"type": "edit", "args": "{}"}).status_code == 422
    foreign = httpx.post(own, data={"type": "approve"}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert httpx.post(mint(asked, tenant=OTHER, principal="nina"), data={"type": "approve"}).status_code == 200
    assert httpx.get(own).status_code == 404


def test_the_command_makes_and_revokes_links(
    town: Database, folder: Path, asked: dict[str, Any], served: Served
) -> None:
    environ = {"GATEPOST_DATABASE_URL": town.url, "GATEPOST_LINK_KEYS_FILE": str(folder / "keys")}

    def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gatepost.service.cli.app", "approval", "link", asked["id"], *words],
            cwd=HERE,
            env={**environ, **more, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    made = command("--for", "bob", "--as", "alice", "--url", served.url)
    address = made.stdout.strip()
    assert "leads to this machine" not in made.stderr
    assert "leads to this machine" in command("--for", "bob", "--as", "alice").stderr
    assert httpx.get(address).status_code == 200
    assert command("--revoke", "--for", "bob", "--as", "alice").returncode == 0
    assert httpx.get(address).status_code == 404
    without = command("--for", "bob", GATEPOST_LINK_KEYS_FILE="")
    assert (without.returncode, "GATEPOST_LINK_KEYS_FILE" in without.stderr) == (2, True)
    assert command().returncode == 2
