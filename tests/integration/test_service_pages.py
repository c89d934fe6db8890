"""The pages in a real browser: what people wrote stays text, no other site gets in, and a run is answered by hand."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from tests.integration.browser import DESK, PHONE, Tab, browser, needs_chromium
from tests.integration.desks import sign_in
from tests.integration.serving import Person, Served

from gatepost import Checkpointer

HOSTILE = (
    "<script>alert('text')</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7 * 7 }}{% raw %}",
    "</textarea></title></svg><svg onload=alert(2)>",
    "javascript:alert(3)",
    "\u202egnp.exe \u200b",
)
FORM = re.compile(r'name="form_token" value="([^"]+)"')


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    """A browser."""
    with browser() as found:
        yield found


@pytest.fixture
def desk(served: Served, alice: Person) -> Iterator[httpx.Client]:
    """Alice's browser, without its scripts: signed in."""
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as client:
        signed = client.post("/sign-in", data={"key": alice.key.secret, "then": "/inbox"})
        assert (signed.status_code, signed.headers["location"]) == (303, "/inbox")
        yield client


def signed_in(tab: Tab, served: Served, person: Person) -> Tab:
    """Type the key, and enter."""
    tab.call("Network.clearBrowserCookies")
    sign_in(tab, served, person)
    assert tab.run("location.pathname") == "/inbox"
    return tab


# in a browser


@needs_chromium
def test_a_run_is_started_looked_at_and_answered_by_hand(tab: Tab, served: Served, alice: Person) -> None:
    signed_in(tab, served, alice)
    tab.open(f"{served.url}/start?goal=sell")
    tab.run('document.querySelector(\'#input\').value = \'{"customer": "ada", "note": "by hand"}\'')
    tab.click("main form[method=post] button.main")
    tab.until("document.querySelector('.run-head .button.main')")  # the question came by itself
    tab.click(".run-head .button.main")
    tab.run("document.querySelector('[data-edit]').open = true")
    tab.run("document.getElementById('arg.cents').value = '70'")
    tab.run("document.querySelector('#comment').value = 'a friend'")
    tab.click("[data-edit] button[value=edit]")
    assert "edit by alice" in tab.run("document.querySelector('.answer').innerText").lower()
    assert tab.run("document.querySelector('.changes tbody').innerText").split() == ["cents", "100", "70"]
    tab.click(".answer .button:not(.main)")
    tab.until("document.querySelector('h1 .chip').textContent === 'succeeded'")
    assert tab.run("document.querySelectorAll('.lane-time .m-effect').length") == 1
    assert (tab.dialogs, tab.complaints) == ([], [])


@needs_chromium
def test_what_somebody_wrote_is_text_on_every_page(tab: Tab, served: Served, alice: Person) -> None:
    run = alice.start(customer=" ".join(HOSTILE), note=HOSTILE[0])
    asked = alice.asked(run)
    signed_in(tab, served, alice)
    for page in (f"/inbox/{asked['id']}", f"/runs/{run}", f"/runs?{urlencode({'search': HOSTILE[1]})}"):
        tab.open(served.url + page)
        assert tab.run("document.querySelectorAll('main img, main script, main [onload], main [onerror]').length") == 0
    alice.decide(asked["id"], type="reject", comment=" ".join(HOSTILE))
    alice.wait(run, "rejected")
    for page in (f"/inbox/{asked['id']}", f"/runs/{run}", "/inbox", "/runs"):
        tab.open(served.url + page)
        assert tab.run("document.querySelectorAll('main img, main script, main [onload], main [onerror]').length") == 0
    assert (tab.dialogs, tab.complaints) == ([], [])


def test_what_turns_text_around_is_made_visible(desk: httpx.Client, alice: Person) -> None:
    asked = alice.asked(alice.start(customer="a\u202eb\u200b", note=""))
    shown = desk.get(f"/inbox/{asked['id']}").text
    facts, _, form = shown.partition('<form class="decide"')
    assert "a\\u202eb\\u200b" in facts
    assert "\u202e" not in facts
    assert 'value="a\u202eb\u200b"' in form  # a field that is sent back says what it was made from


@needs_chromium
def test_a_question_is_never_replaced_under_the_hand(tab: Tab, served: Served, alice: Person) -> None:
    first, second = (alice.asked(alice.start(customer=name, note="")) for name in ("first", "second"))
    signed_in(tab, served, alice)
    tab.open(f"{served.url}/inbox")
    shown = tab.run("document.querySelector('[data-question]').dataset.question")
    alice.decide(shown, type="reject")
    tab.until("document.querySelector('.answer')")  # the same question, now answered
    assert tab.run("document.querySelector('[data-question]').dataset.question") == shown
    for asked in (first, second):
        if asked["id"] != shown:
            alice.decide(asked["id"], type="reject")


@needs_chromium
def test_other_sites_cannot_frame_or_send_us(tab: Tab, served: Served, alice: Person, tmp_path: Path) -> None:
    asked = alice.asked(alice.start(customer="x", note=""))
    signed_in(tab, served, alice)
    page = tmp_path / "evil.html"
    page.write_text(
        f'<iframe src="{served.url}/inbox"></iframe>'
        f'<form method="post" action="{served.url}/inbox/{asked["id"]}"><input name="type" value="approve"></form>'
    )
    tab.open(page.as_uri())
    assert any("frame-ancestors" in said or "refused to connect" in said for said in tab.complaints)
    before = tab._loaded
    tab.run("document.forms[0].submit()")
    tab.loaded(before)
    assert "cross-origin" in tab.run("document.body.innerText") or "Another site" in tab.run("document.body.innerText")
    assert alice.get(f"/v1/approvals/{asked['id']}")["status"] == "open"
    tab.complaints.clear()


@needs_chromium
def test_everything_has_a_name_and_fits_a_phone(tab: Tab, served: Served, alice: Person) -> None:
    run = alice.start(customer="a" * 200, note="b" * 200)
    asked = alice.asked(run)
    signed_in(tab, served, alice)
    nameless = """[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, svg[role=img]')]
        .filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim())).length"""
    for path in ("/inbox", f"/inbox/{asked['id']}", "/runs", f"/runs/{run}", "/start", "/sign-in"):
        for size in (DESK, PHONE):
            tab.look(size, dark=size == PHONE)
            tab.open(served.url + path)
            assert tab.run(nameless) == 0, path
            assert tab.run("document.documentElement.scrollWidth <= innerWidth"), (path, size)
            assert tab.run("[...document.querySelectorAll('[tabindex]')].every((one) => one.tabIndex < 1)"), path
    assert tab.complaints == []


# without one


def test_nobody_sees_a_page_without_signing_in(served: Served) -> None:
    with httpx.Client(base_url=served.url) as nobody:
        for path in ("/inbox", "/runs", "/start", "/runs/run_1", "/inbox/apr_1"):
            answer = nobody.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?then={path}")
        assert nobody.post("/inbox/apr_1").status_code == 303
        assert nobody.post("/sign-in", data={"key": "gp_" + "x" * 43}).status_code == 401
        for then in ("//evil.example", "https://evil.example", "/\\evil.example"):
            assert f'value="{then}"' not in nobody.get("/sign-in", params={"then": then}).text


def test_a_question_says_that_its_run_is_held(desk: httpx.Client, alice: Person) -> None:
    asked = alice.asked(alice.start(customer="vera", note=""))
    question = f"/inbox/{asked['id']}"
    assert "The run is held" not in desk.get(question).text
    alice.http.post(f"/v1/runs/{asked['run']}/hold", json={"reason": "a test"}).raise_for_status()
    assert "The run is held" in desk.get(question).text
    alice.http.post(f"/v1/runs/{asked['run']}/cancel", json={"reason": "a test"}).raise_for_status()


def test_a_filter_that_no_column_can_hold_is_refused(desk: httpx.Client) -> None:
    for path in ("/inbox?workflow=%00", "/runs?workflow=%00", "/runs?search=%00", "/answers?workflow=%00&tool=%00"):
        assert desk.get(path).status_code == 422, path


def test_a_form_is_only_taken_from_our_own_page_of_that_session(
    served: Served, desk: httpx.Client, alice: Person
) -> None:
    asked = alice.asked(alice.start(customer="y", note=""))
    path = f"/inbox/{asked['id']}"
    token = FORM.search(desk.get(path).text)
    assert token
    answer = {"type": "approve", "digest": asked["digest"]}
    assert desk.post(path, data=answer).status_code == 403
    flipped = token[1][:-1] + ("A" if token[1][-1] != "A" else "B")
    assert desk.post(path, data={**answer, "form_token": flipped}).status_code == 403
    whole = {**answer, "form_token": token[1]}
    assert desk.post(path, data=whole, headers={"Origin": "http://evil.example"}).status_code == 403
    assert alice.get(f"/v1/approvals/{asked['id']}")["status"] == "open"
    assert desk.post(path, data={**whole, "digest": "0" * 64}).status_code == 409
    assert desk.post(path, data=whole).status_code == 303
    stale = desk.post(path, data={**whole, "type": "reject"})
    assert (stale.status_code, "approve by alice" in stale.text) == (409, True)


def test_a_cookie_opens_no_door_of_the_api_that_changes_something(desk: httpx.Client, alice: Person) -> None:
    asked = alice.asked(alice.start(customer="z", note=""))
    assert desk.get("/v1/approvals").status_code == 200
    assert desk.post(f"/v1/approvals/{asked['id']}/decision", json={"type": "approve"}).status_code == 401


def test_a_cookie_with_one_other_byte_is_none_and_ends_with_its_key(served: Served, town_hall: Checkpointer) -> None:
    person = served.person("zoe")
    with httpx.Client(base_url=served.url) as client:
        client.post("/sign-in", data={"key": person.key.secret})
        (cookie,) = client.cookies.jar
        attributes = client.post("/sign-in", data={"key": person.key.secret}).headers["set-cookie"].lower()
        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        value = str(cookie.value)
        for at in range(0, len(value), 7):
            wrong = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
            refused = httpx.get(f"{served.url}/inbox", headers={"Cookie": f"{cookie.name}={wrong}"})
            assert refused.status_code == 303
        assert client.get("/inbox").status_code == 200
        town_hall.bridge.run(served.keys.revoke(person.key.key_id, "local", by="test"))
        assert client.get("/inbox").status_code == 303


def test_pages_of_another_tenant_read_as_pages_that_never_were(served: Served, alice: Person) -> None:
    asked = alice.asked(alice.start(customer="w", note=""))
    mallory = served.person("mallory", tenant="elsewhere")
    with httpx.Client(base_url=served.url, headers={"Accept": "text/html"}) as client:
        client.post("/sign-in", data={"key": mallory.key.secret})
        for real, never in (
            (f"/inbox/{asked['id']}", "/inbox/apr_ffffffffffff"),
            (f"/runs/{asked['run']}", "/runs/run_ffffffffffffffffffff"),
        ):
            theirs, none = client.get(real), client.get(never)
            assert (theirs.status_code, none.status_code) == (404, 404)
            assert theirs.text.replace(real.rpartition("/")[2], "ID") == none.text.replace(
                never.rpartition("/")[2], "ID"
            )
        assert alice.key.key_id not in client.get("/runs").text


def test_the_service_says_no_secret_to_its_log(served: Served, alice: Person) -> None:
    log = served.log
    assert alice.key.secret not in log.read_text()
    assert subprocess.run(["grep", "-c", "gp_", str(log)], check=False, capture_output=True).stdout == b"0\n"
