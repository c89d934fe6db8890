"""How long a person waits for the page of a long run to be painted: a real run, a real service, a real browser.

The browser is Debian's Chromium, driven as in the tests; it is started once, and each time loads the page anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.browser import CHROMIUM, Tab, browser
from tests.integration.serving import Served, service

from bench.server import Server
from bench.service import Wait
from gatepost import FixedPlan, Plan, Policy, Step, Workflow, build_graph, open_checkpointer, tool

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
RUN = "run_long"
MOST_MS = 1000.0
EVERYTHING = Policy('@id("all") permit (principal, action, resource);')


@tool(effect="read")
def look(at: int) -> int:
    """Look at something."""
    return at


def paints(server: Server, times: int, *, transitions: int) -> list[Wait]:
    """Measure it; nothing where there is no Chromium.

    Args:
        server: where.
        times: how often.
        transitions: how long the run is, about.
    """
    if CHROMIUM is None:
        return []
    with _served(server.database("paint"), transitions) as served, browser() as tab:
        person = served.person("bench")
        tab.look()
        tab.open(f"{served.url}/sign-in")
        tab.run(f"document.querySelector('#key').value = {person.key.secret!r}")
        tab.click("#with-key button")
        pages = (
            ("newest", f"/runs/{RUN}"),
            ("older", f"/runs/{RUN}?before={transitions // 2}"),
            ("stepper", f"/runs/{RUN}/states?at={transitions // 2}"),
        )
        return [
            Wait(
                f"the page of a run of {transitions:,} transitions is painted: {name}",
                MOST_MS,
                [_painted(tab, served.url + path) for _ in range(times)],
            )
            for name, path in pages
        ]


def _painted(tab: Tab, url: str) -> float:
    tab.open(url)
    tab.until(PAINTED)
    return float(tab.run(PAINTED))


@contextmanager
def _served(url: str, transitions: int) -> Iterator[Served]:
    """A service on a database in which a run of so many transitions has ended."""
    steps = transitions // 2  # the gate and the executor take turns
    plan = Plan(
        steps=tuple(
            Step(id=f"s{at}", tool="look", args={"at": at}, needs=(f"s{at - 1}",) if at else ()) for at in range(steps)
        )
    )
    workflow = Workflow(name="long", goals=("long",), strategy=FixedPlan(plan), tools=(look,))
    config: Any = {"configurable": {"thread_id": RUN}}
    with open_checkpointer(url) as hall, tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        build_graph([workflow], hall, policy=EVERYTHING).invoke({"goal": "long"}, config)
        with service(url, hall, Path(folder)) as served:
            yield served
