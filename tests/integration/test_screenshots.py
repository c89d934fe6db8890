"""Every page in a real browser, in light and dark and on a phone: pictures of it, its contrast, names and tab order.

`pytest tests/integration/test_screenshots.py --screenshots DIR` leaves them in a folder, for somebody to look at.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.processes import serving
from tests.integration.browser import DESK, PHONE, Tab, needs_chromium
from tests.integration.serving import Person, Served, service

from gatepost import Checkpointer
from gatepost.checkpointing.overview import Overview
from gatepost.examples.services import SERVICES_VARIABLE
from gatepost.service.http import links
from gatepost.testing import Database

WINDOW = (860, 900)
"""Just too wide for what a phone gets."""
GOAL = "vendor onboarding review"
LOOKS = (
    ("light", DESK, False),
    ("window", WINDOW, False),
    ("dark", DESK, True),
    ("phone", PHONE, False),
    ("phone-dark", PHONE, True),
)
STATUS = "performance.getEntriesByType('navigation')[0].responseStatus"
LINK_KEY = "k" * 40
OTHER_STATUS = {"no-such-page": 404, "link-of-no-use": 404}
LINES = [
    {"description": "Versicherungsprämie", "account": "DE89370400440532013000", "amount": 1200, "period": "2026/2027"}
]
TABS = 40
LONG = (
    "Zahlungserinnerung für Versicherungsgesellschaft, Rechnungsnummer 20261121-000417, https://example.com/" + "i" * 80
)
USED = {
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "checkbox",
    "radio",
    "image",
    "img",
    "navigation",
}
FAINT = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const [r, g, b, a = 1] = parts(getComputedStyle(one).backgroundColor);
      if (a > 0.5) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !one.checkVisibility()) continue;
    if (one.closest("svg, .sr, .off, .skip, option, noscript")) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(parts(style.color)), light(ground(one))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.add(`${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`);
  }
  return [...found];
})()"""
"""Texts with less contrast than WCAG 2.2 AA asks for; where they stand, and how much they have."""
BROKEN = """(() => {
  const found = new Set(), range = document.createRange();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.data.trim() || !node.parentElement.checkVisibility() || node.parentElement.closest(".sr, svg")) continue;
    for (const word of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const parts = [...range.getClientRects()];
      const lines = new Set(parts.map((one) => Math.round(one.top))).size;
      const wide = parts.reduce((sum, one) => sum + one.width, 0);
      if (lines > 1 && wide < 160 && wide < innerWidth / 3) found.add(word[0]);
    }
  }
  return [...found];
})()"""
"""Words that go on in the next line and would have had room on a phone, beside another column."""
SAME_IDS = "[...document.querySelectorAll('[id]')].map((one) => one.id).filter((id, at, all) => all.indexOf(id) !== at)"
CAN = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
REACHED_BY_TAB = f"""[...document.querySelectorAll({CAN!r})]
    .filter((one) => one.checkVisibility() && !one.disabled && (one.type !== 'radio' || one.checked)).length"""
FOCUSED = """(() => {
  const one = document.activeElement, all = [...document.querySelectorAll('*')], style = getComputedStyle(one);
  const edge = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  return { order: all.indexOf(one), seen: edge, text: one.textContent.trim().slice(0, 40) };
})()"""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    asked: str | None = request.config.getoption("--screenshots")
    found = Path(asked) if asked else tmp_path_factory.mktemp("screenshots")
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that knows the example, whose providers are real."""
    place = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as environment, serving(place / "books.sqlite") as url:
        environment.setenv(SERVICES_VARIABLE, url)
        (place / "keys").write_text(LINK_KEY)
        with service(town.url, town_hall, place, GATEPOST_LINK_KEYS_FILE=str(place / "keys")) as found:
            yield found


@pytest.fixture(scope="module")
def pages(served: Served, alice: Person, town_hall: Checkpointer) -> dict[str, str]:
    """The addresses of all pages, each with something on it."""
    done, waits = alice.start(GOAL), alice.start(GOAL)
    asked = alice.asked(done)
    alice.decide(asked["id"], type="approve", comment="The controls are what we want.")
    alice.wait(done, "succeeded")
    question = alice.asked(waits)
    for customer, note in (("ada", "as agreed by phone"), ("Aufsichtsbehörde Niedersachsen", LONG), ("eve", "a" * 300)):
        alice.asked(alice.start("bill", customer=customer, note=note, lines=LINES))
    key = {"Idempotency-Key": "fork"}
    fork = alice.http.post(f"/v1/runs/{done}/fork", json={"at": "3", "effects": "reuse"}, headers=key).json()["id"]
    alice.decide(alice.asked(fork)["id"], type="reject", comment="Not with these controls.")
    alice.wait(fork, "rejected")
    link = links.link_for(
        question["id"],
        tenant="local",
        principal="bob",
        digest=question["digest"],
        base=served.url,
        now=town_hall.bridge.run(Overview(town_hall.pools).now()),
        keys=[LINK_KEY.encode()],
    )
    return {
        "link": link.removeprefix(served.url),
        "link-of-no-use": f"{links.PATH}none",
        "inbox": "/inbox",
        "question": f"/inbox/{question['id']}",
        "answered": f"/inbox/{asked['id']}",
        "runs": "/runs",
        "run-done": f"/runs/{done}",
        "run-waits": f"/runs/{waits}",
        "states": f"/runs/{done}/states?at=4",
        "replay": f"/runs/{done}/replay",
        "fork": f"/runs/{done}/fork",
        "compare": f"/runs/{fork}/compare",
        "operate": f"/runs/{waits}/operate?mode=rollback",
        "together": "/answers?workflow=bill&tool=charge",
        "start": "/start",
        "start-chosen": "/start?goal=vendor%20onboarding%20review",
        "sign-in": "/sign-in",
        "no-such-page": "/runs/run_none",
        "nothing-found": "/runs?search=nobody%20ever",
    }


def test_every_page_shows_something_in_every_look(
    tab: Tab, served: Served, pages: dict[str, str], folder: Path
) -> None:
    for name, path in pages.items():
        grounds = {}
        for look, size, dark in LOOKS:
            tab.look(size, dark=dark)
            tab.open(served.url + path)
            assert tab.run(STATUS) == OTHER_STATUS.get(name, 200), (name, tab.run("document.title"))
            assert tab.run("document.documentElement.scrollWidth <= innerWidth"), (name, look)
            grounds[look] = tab.run("getComputedStyle(document.documentElement).backgroundColor")
            assert tab.run(BROKEN) == [], (name, look)
            picture = folder / f"{name}-{look}.png"
            tab.shoot(picture)
            assert _rows(picture) > 20, picture
        assert grounds["light"] != grounds["dark"], name


def test_every_text_stands_out_from_its_ground(tab: Tab, served: Served, pages: dict[str, str]) -> None:
    faint = []
    for name, path in pages.items():
        for dark in (False, True):
            tab.look(DESK, dark=dark)
            tab.open(served.url + path)
            tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            faint += [(name, "dark" if dark else "light", said) for said in tab.run(FAINT)]
    assert faint == []


def test_everything_that_can_be_used_has_a_name(tab: Tab, served: Served, pages: dict[str, str]) -> None:
    tab.look()
    tab.call("Accessibility.enable")
    for name, path in pages.items():
        tab.open(served.url + path)
        tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        tree = tab.call("Accessibility.getFullAXTree")["nodes"]
        used = [node for node in tree if not node["ignored"] and node.get("role", {}).get("value") in USED]
        assert used, name
        nameless = [node["role"]["value"] for node in used if not node.get("name", {}).get("value", "").strip()]
        assert nameless == [], name
        assert tab.run("document.querySelectorAll('h1').length") == 1, name
        assert tab.run("document.title"), name
        assert tab.run("document.documentElement.lang") == "en", name
        assert tab.run(SAME_IDS) == [], name


def test_the_tab_key_goes_through_a_page_in_reading_order(tab: Tab, served: Served, pages: dict[str, str]) -> None:
    tab.look()
    for name, path in pages.items():
        tab.open(served.url + path)
        met = []
        for _ in range(min(tab.run(REACHED_BY_TAB), TABS) if name != "sign-in" else 1):
            for kind in ("rawKeyDown", "keyUp"):
                tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            met.append(tab.run(FOCUSED))
        order = [one["order"] for one in met]
        assert order == sorted(set(order)), (name, met)
        assert all(one["seen"] for one in met), (name, met)
        assert name == "sign-in" or met[0]["text"] == "Skip to the content", name  # there its field has the focus first


def _rows(picture: Path) -> int:
    """How many different rows of pixels there are: a blank page has one."""
    data = picture.read_bytes()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])  # the first part of a PNG, always
    at, parts = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    raw = zlib.decompress(b"".join(parts))
    line = 1 + width * {2: 3, 6: 4}[kind]
    assert (depth, len(raw)) == (8, line * height)
    return len({raw[number * line : (number + 1) * line] for number in range(height)})
