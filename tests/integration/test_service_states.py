"""The stepper in a real browser: each state as it was, differences to any other, by key and by link."""

from __future__ import annotations

from typing import Any

import httpx
from tests.integration.browser import Tab, needs_chromium
from tests.integration.desks import HOSTILE
from tests.integration.serving import Person, Served


def _at(alice: Person, run: str, node: str) -> int:
    rows: list[dict[str, Any]] = alice.get(f"/v1/runs/{run}/history")["transitions"]
    return int(next(row["seq"] for row in rows if row["nodes"] == [node]))


@needs_chromium
def test_states_are_gone_through_by_key_and_each_is_what_it_was(
    tab: Tab, served: Served, alice: Person, sold: str
) -> None:
    ran = _at(alice, sold, "executor")
    tab.open(f"{served.url}/runs/{sold}/states?at={ran - 1}")
    assert "running" in tab.run("document.querySelector('.steps tbody tr').innerText")
    loads = tab._loaded
    tab.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))")
    tab.until(f"new URLSearchParams(location.search).get('at') === '{ran}'")
    assert tab._loaded == loads  # only the state was fetched
    assert "succeeded" in tab.run("document.querySelector('.steps tbody tr').innerText")
    changed = tab.run("[...document.querySelectorAll('.diff th')].map((one) => one.innerText)")
    assert "steps / look / status" in changed
    tab.run("history.back()")
    tab.until(f"document.querySelector('#at').value === '{ran - 1}'")
    for key, end in (("End", "last"), ("Home", "first")):
        tab.run(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")
        tab.until(f"document.querySelector('main') && !document.querySelector('#go-{end}')")
    assert (tab.dialogs, tab.complaints) == ([], [])
    assert tab.run("document.querySelectorAll('main img, main script, main [onerror]').length") == 0


@needs_chromium
def test_any_two_states_are_compared_by_a_form_alone(tab: Tab, served: Served, alice: Person, sold: str) -> None:
    first, last = _at(alice, sold, "planner"), alice.get(f"/v1/runs/{sold}")["transitions"]
    tab.open(f"{served.url}/runs/{sold}/states")
    tab.run(f"document.querySelector('#against').value = '{first}'")
    tab.click(".stepper form button")
    assert tab.run("document.querySelector('#at').value") == str(last)
    told = tab.run("document.querySelector('#changes-title').parentElement.innerText")
    assert f"against the state after transition {first}" in told
    assert "steps / charge / status" in told
    assert (tab.dialogs, tab.complaints) == ([], [])


def test_what_does_not_exist_is_said_and_nothing_breaks(desk: httpx.Client, sold: str) -> None:
    assert desk.get(f"/runs/{sold}/states?at=99999").status_code == 200  # the last one
    assert "99999" not in desk.get(f"/runs/{sold}/states?at=99999").text
    assert desk.get(f"/runs/{sold}/states?at=0").status_code == 404
    assert desk.get(f"/runs/{sold}/states?at=5&against=99999").status_code == 200
    for wrong in ("at=x", "at=-1", f"at={2**70}", "at=3&against='"):
        assert desk.get(f"/runs/{sold}/states?{wrong}").status_code == 422
    assert desk.get("/runs/run_none/states").status_code == 404
    shown = desk.get(f"/runs/{sold}/states?at=5").text
    assert HOSTILE[:20] not in shown
    assert "\u202e" not in shown


def test_another_tenant_sees_no_state(served: Served, sold: str) -> None:
    mallory = served.person("mallory", tenant="elsewhere")
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as client:
        client.post("/sign-in", data={"key": mallory.key.secret})
        assert client.get(f"/runs/{sold}/states?at=3").status_code == 404
