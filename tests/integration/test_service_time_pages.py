"""Replays, forks, comparisons, an operator's hands and answers to several, from pages: what they do, and never do."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import psycopg
from tests.integration.browser import Tab, needs_chromium
from tests.integration.desks import HOSTILE
from tests.integration.serving import Person, Served

from gatepost.testing import Database

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
MARKUP = "document.querySelectorAll('main img, main script, main [onerror], main [onload]').length"


def _token(desk: httpx.Client, path: str) -> str:
    found = TOKEN.search(desk.get(path).text)
    assert found
    return found[1]


def _send(desk: httpx.Client, path: str, **given: str) -> httpx.Response:
    return desk.post(path, data={"form_token": _token(desk, path), **given})


def _clean(tab: Tab) -> None:
    assert tab.run(MARKUP) == 0
    assert (tab.dialogs, tab.complaints) == ([], [])


# replay


@needs_chromium
def test_a_replay_says_identical_and_calls_nothing(tab: Tab, served: Served, sold: str) -> None:
    before = served.calls()
    tab.open(f"{served.url}/runs/{sold}/replay")
    tab.click("main form button.main")
    assert tab.run("document.querySelector('#verdict-title').innerText") == "Identical"
    assert served.calls() == before
    _clean(tab)


@needs_chromium
def test_a_replay_shows_where_it_goes_another_way_and_why(
    tab: Tab, served: Served, town: Database, alice: Person
) -> None:
    run = alice.start(customer="ada", note="")
    alice.decide(alice.asked(run)["id"], type="approve")
    alice.wait(run, "succeeded")
    tamper = """UPDATE gatepost.plan SET plan = regexp_replace(plan::text, '"cents": ?100', '"cents": 200')::json
        WHERE run_id = %s"""
    with psycopg.connect(town.url) as owner:
        changed = owner.execute(tamper, (run,)).rowcount  # as if today's code had planned something else
        assert changed == 1
    tab.open(f"{served.url}/runs/{run}/replay")
    tab.click("main form button.main")
    assert "goes another way at transition" in tab.run("document.querySelector('#verdict-title').innerText")
    assert tab.run("document.querySelectorAll('.way .first').length") == 1
    assert tab.run("document.querySelectorAll('.way .after').length") > 0
    assert "follows from it" in tab.run("document.querySelector('.way').innerText")
    sides = tab.run("document.querySelector('.diff').innerText")
    assert "200" in sides
    assert "100" in sides
    _clean(tab)


def test_a_replay_that_cannot_be_made_says_so(desk: httpx.Client, alice: Person, sold: str) -> None:
    for begin in ("never", "0", "9" * 5_000):
        wrong = _send(desk, f"/runs/{sold}/replay", begin=begin)
        assert (wrong.status_code, "no transition" in wrong.text) == (422, True), begin[:9]
    assert desk.post(f"/runs/{sold}/replay", data={}).status_code == 403  # without the form's token
    token = _token(desk, f"/runs/{sold}/replay")
    evil = desk.post(f"/runs/{sold}/replay", data={"form_token": token}, headers={"Origin": "http://evil.example"})
    assert evil.status_code == 403


def test_the_process_of_a_replay_has_no_secret_of_the_service(alice: Person) -> None:
    run = alice.start("weigh", customer="ada", nosy=True)
    alice.wait(run, "succeeded")
    said = alice.http.post(f"/v1/runs/{run}/replay", json={}).json()
    (found,) = [one for one in said["divergence"]["differences"] if "GATEPOST_DATABASE_URL" in str(one)]
    assert "GATEPOST_" not in str(found["replayed"])


# fork and compare


@needs_chromium
def test_a_fork_is_made_by_hand_with_a_change_and_compared(tab: Tab, served: Served, alice: Person, sold: str) -> None:
    calls = served.calls()
    tab.open(f"{served.url}/runs/{sold}/fork")
    tab.run("document.querySelectorAll('details.group').forEach((one) => { one.open = true; })")
    tab.run("document.getElementById('steps.charge.args.cents').value = '70'")
    _clean(tab)
    tab.click("main form[method=post] button.main")
    assert tab.run("location.pathname").endswith("/compare")
    fork = tab.run("location.pathname").split("/")[2]
    assert fork != sold
    alice.wait(fork, "failed", "blocked")
    if (found := alice.get(f"/v1/runs/{fork}"))["status"] == "blocked":
        alice.decide(found["approvals"][0], type="approve")
        alice.wait(fork, "failed")
    tab.open(f"{served.url}/runs/{fork}/compare")
    assert tab.run("document.querySelector('#verdict-title').innerText") == "The first difference"
    assert tab.run("document.querySelectorAll('.sides tr.first').length") == 1
    told = tab.run("document.querySelector('main').innerText")
    assert "not called" in told
    assert "cents" in told
    _clean(tab)
    assert served.calls() == calls  # a fork that reuses calls nothing
    tab.open(f"{served.url}/runs/{fork}")
    assert f"Forked from {sold}" in tab.run("document.querySelector('.lineage').innerText")
    tab.open(f"{served.url}/runs/{sold}")
    assert fork in tab.run("document.querySelector('#forks-title').parentElement.innerText")
    _clean(tab)


def test_a_fork_without_a_change_is_the_same_and_two_clicks_are_one_fork(desk: httpx.Client, alice: Person) -> None:
    run = alice.start(customer="bob", note="")
    alice.decide(alice.asked(run)["id"], type="approve")
    alice.wait(run, "succeeded")
    shown = desk.get(f"/runs/{run}/fork").text
    fields = dict(re.findall(r'<input id="([a-z][^"]+)" name="[^"]+" value="([^"]*)"', shown))
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', shown))
    texts = dict(re.findall(r'<textarea id="([^"]+)"[^>]*>\n([^<]*)</textarea>', shown))
    found = {**hidden, **fields, **texts, "effects": "reuse"}
    given = {name: unescape(text) for name, text in found.items()}
    once, twice = (desk.post(f"/runs/{run}/fork", data=given) for _ in range(2))
    assert (once.status_code, twice.status_code) == (303, 303), once.text
    assert once.headers["location"] == twice.headers["location"]
    dry, dry_again = (desk.post(f"/runs/{run}/fork", data={**given, "effects": "dry-run"}) for _ in range(2))
    back = desk.post(f"/runs/{run}/fork", data={**given, "input.note": '"other"'})  # with "back", and another value
    assert dry.headers["location"] == dry_again.headers["location"]
    assert len({one.headers["location"] for one in (once, dry, back)}) == 3
    assert alice.get(f"/v1/runs/{back.headers['location'].split('/')[2]}")["input"]["note"] == "other"
    fork = once.headers["location"].split("/")[2]
    assert alice.wait(fork, "blocked", "succeeded", "failed")["status"] == "blocked"
    assert alice.asked(fork)["fork_effects"] == "reuse"
    question = desk.get(f"/inbox/{alice.asked(fork)['id']}").text
    assert ("is a fork that calls nothing" in question, "is called once" in question) == (True, False)
    alice.decide(alice.asked(fork)["id"], type="approve")
    alice.wait(fork, "succeeded", "failed")
    compared = desk.get(f"/runs/{fork}/compare").text
    assert "The same became of every step" in compared
    assert "reused" in compared


def test_a_fork_that_cannot_be_made_says_so_and_makes_nothing(desk: httpx.Client, served: Served, sold: str) -> None:
    before = len(desk.get(f"/runs/{sold}").text.split("/compare"))
    for given in ({"at": "x"}, {"at": "99999"}, {"at": "3"}, {"at": "3", "effects": "all"}, {"at": str(2**70)}):
        assert _send(desk, f"/runs/{sold}/fork", request_key="k1", **given).status_code == 422, given
    assert desk.post(f"/runs/{sold}/fork", data={"at": "3", "effects": "reuse"}).status_code == 403
    reader = served.person("rita", scopes=("read", "start"))
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as client:
        client.post("/sign-in", data={"key": reader.key.secret})
        fired = _send(client, f"/runs/{sold}/fork", at="3", effects="fire", request_key="k2")
        assert (fired.status_code, "operate" in fired.text) == (422, True)
    assert len(desk.get(f"/runs/{sold}").text.split("/compare")) == before


def test_only_runs_of_the_tenant_are_compared(desk: httpx.Client, served: Served, sold: str) -> None:
    theirs = served.person("mallory", tenant="elsewhere").start(customer="x", note="")
    assert desk.get(f"/runs/{sold}/compare?with={theirs}").status_code == 404
    assert desk.get(f"/runs/{sold}/compare?with=run_none").status_code == 404
    assert desk.get(f"/runs/{theirs}/compare?with={sold}").status_code == 404
    assert desk.get(f"/runs/{sold}/compare").status_code == 200


# an operator


@needs_chromium
def test_recovering_shows_first_what_it_would_do(tab: Tab, served: Served, alice: Person) -> None:
    run = alice.start("stay", customer="ada")
    alice.decide(alice.asked(run)["id"], type="approve")
    asked = alice.asked(run)
    calls = len(served.calls())
    tab.open(f"{served.url}/runs/{run}/operate?mode=rollback")
    told = tab.run("document.querySelector('#recover-title').parentElement.innerText")
    assert "undo" in told
    assert "room" in told
    assert alice.get(f"/v1/approvals/{asked['id']}")["status"] == "open"  # looking did nothing
    assert len(served.calls()) == calls
    tab.run("document.querySelector('#reason').value = 'the guest called'")
    tab.click("#recover-title ~ .card form button")
    assert tab.run("location.pathname") == f"/runs/{run}"
    alice.wait(run, "compensated")
    assert len(served.calls()) == calls + 1
    _clean(tab)


def test_a_step_is_left_out_with_a_reason_and_only_by_an_operator(
    desk: httpx.Client, served: Served, alice: Person
) -> None:
    run = alice.start(customer="ada", note="")
    alice.asked(run)
    path = f"/runs/{run}/operate"
    assert _send(desk, path, act="skip", step="charge", reason=" ").status_code == 422
    assert _send(desk, path, act="skip", step="nothing", reason="x").status_code == 422
    assert _send(desk, path, act="explode", reason="x").status_code == 422
    reader = served.person("rita", scopes=("read",))
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as client:
        client.post("/sign-in", data={"key": reader.key.secret})
        assert client.get(path).status_code == 403
    assert _send(desk, path, act="skip", step="charge", reason="told by phone").status_code == 303
    assert alice.wait(run, "succeeded", "rejected", "failed")["steps"][0]["status"] in {"skipped", "succeeded"}


# several at once


@needs_chromium
def test_several_are_answered_at_once_each_for_itself(tab: Tab, served: Served, alice: Person) -> None:
    runs = [alice.start(customer=name, note=HOSTILE) for name in ("one", "two", "three")]
    asked = [alice.asked(run)["id"] for run in runs]
    tab.open(f"{served.url}/inbox/{asked[0]}")
    tab.click("a[href^='/answers']")
    _clean(tab)
    picked = [f"document.querySelector('[name=\"pick.{one}\"]').checked = true" for one in asked[:2]]
    tab.run("; ".join(picked))
    alice.decide(asked[1], type="reject")  # somebody is faster
    tab.run("document.querySelector('#comment').value = 'as every month'")
    tab.click("button[value=approve]")
    told = tab.run("document.querySelector('#results-title').parentElement.innerText")
    assert "1 of 2 recorded" in told
    assert "Another answer stands" in told
    assert [alice.get(f"/v1/approvals/{one}")["status"] for one in asked] == ["decided", "decided", "open"]
    assert alice.get(f"/v1/approvals/{asked[0]}")["decision"]["comment"] == "as every month"
    _clean(tab)


def test_only_the_same_action_is_answered_together(desk: httpx.Client, alice: Person) -> None:
    sale, stay = alice.asked(alice.start(customer="x", note="")), alice.asked(alice.start("stay", customer="x"))
    path = "/answers?workflow=sell&tool=charge"
    both = {f"pick.{one['id']}": one["digest"] for one in (sale, stay)}
    assert _send(desk, path, type="approve", **both).status_code == 422
    assert _send(desk, path, type="approve").status_code == 422
    assert _send(desk, path, type="edit", **both).status_code == 422
    stale = _send(desk, path, type="approve", **{f"pick.{sale['id']}": "0" * 64})
    assert "0 of 1 recorded" in stale.text
    assert [alice.get(f"/v1/approvals/{one['id']}")["status"] for one in (sale, stay)] == ["open", "open"]


def test_a_comment_is_on_record_and_answers_nothing(desk: httpx.Client, alice: Person) -> None:
    asked: dict[str, Any] = alice.asked(alice.start(customer="x", note=""))
    path = f"/inbox/{asked['id']}"
    assert _send(desk, path, type="comment", comment=" ").status_code == 422
    assert _send(desk, path, type="comment", comment=HOSTILE).status_code == 303
    assert alice.get(f"/v1/approvals/{asked['id']}")["status"] == "open"
    assert "&lt;img src=x onerror=alert(1)&gt;" in desk.get(path).text
