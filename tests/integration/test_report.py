"""The report of a run: what happened is on it, and nothing on it can run, load, or break out of where it stands."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import Artifact, Conclusion, FixedPlan, Plan, Step, Workflow, build_graph, tool
from gatepost.service.report.page import report
from gatepost.service.timeline import timeline
from gatepost.state.errors import UnknownRun

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = (
    "</pre></title></style><script>document.title='owned'</script>"
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\">'\"`{{7*7}}\u202e\x1b[31m"
)


class Marks(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def hostile(town_hall: Any) -> tuple[Any, str]:
    """A run in which everybody wrote markup; and its report."""

    @tool(effect="write", on_doubt="retry", label="word")
    def publish(text: str) -> dict[str, str]:
        return {"word": text, "receipt": text}

    goal = HOSTILE.replace("\x1b", "")
    workflow = Workflow(
        name="hostile",
        goals=(goal,),
        strategy=FixedPlan(Plan(steps=(Step(id="publish", tool="publish", args={"text": HOSTILE}),), reason=HOSTILE)),
        tools=(publish,),
        conclude=lambda _: Conclusion(artifacts=(Artifact(name="a.html", content=HOSTILE),)),
    )
    graph = build_graph([workflow], town_hall)
    config: Any = {"configurable": {"thread_id": "hostile"}}
    asked = graph.invoke({"goal": goal, "input": {"note": HOSTILE}}, config)["approval"]
    graph.invoke(Command(resume=asked.approve(by="alice", comment=HOSTILE)), config)
    return graph, town_hall.bridge.run(report(town_hall, "hostile", "local"))


def test_what_was_written_is_text_on_the_page(hostile: tuple[Any, str]) -> None:
    page = Marks(hostile[1])
    assert page.text.count("document.title='owned'") >= 8 * 2
    assert {"script", "img", "link", "iframe", "object", "form", "a"}.isdisjoint(page.tags)
    assert page.tags.count("style") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"style", "href", "src"}]
    assert not {"\u202e", "\x1b"} & set(hostile[1])
    assert "{{7*7}}" in page.text


def test_the_policy_lets_in_its_own_style_and_nothing_else(hostile: tuple[Any, str]) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", hostile[1], re.DOTALL)
    own = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = (value for _, value in Marks(hostile[1]).attributes if value and value.startswith("default-src"))
    assert policy == f"default-src 'none'; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_nothing_runs_in_a_browser_and_the_style_applies(hostile: tuple[Any, str], tmp_path: Path) -> None:
    assert CHROMIUM is not None
    path = tmp_path / "report.html"
    path.write_text(hostile[1], encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [CHROMIUM, *options, "--enable-logging=stderr", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "<title>owned" not in shown.stdout
    assert Marks(shown.stdout).tags == Marks(hostile[1]).tags
    assert "Content Security Policy" not in shown.stderr  # it refused nothing: there was nothing to refuse


def test_approvals_effects_and_their_receipts_are_on_it(hostile: tuple[Any, str]) -> None:
    graph, page = hostile
    told = Marks(page).text
    (effect,) = graph.saver.bridge.run(graph.saver.history.effects("hostile"))
    assert effect["key"] in told
    assert effect["approval_id"] in told
    assert "approve by alice over python, asserted" in " ".join(told.split())
    assert "publish: running → succeeded" in told


def test_the_report_of_another_tenant_is_refused(hostile: tuple[Any, str]) -> None:
    with pytest.raises(UnknownRun):
        hostile[0].saver.bridge.run(report(hostile[0].saver, "hostile", "other"))


def test_nodes_have_every_transition_once_in_order_and_the_run_shows_its_wait(hostile: tuple[Any, str]) -> None:
    story = hostile[0].history({"configurable": {"thread_id": "hostile"}})
    effects = hostile[0].saver.bridge.run(hostile[0].saver.history.effects("hostile"))
    drawn = timeline(story, effects=effects, until=story[-1].at).lanes
    bars = sorted((bar for lane in drawn if lane.group == "node" for bar in lane.bars), key=lambda bar: bar.seq)
    assert [bar.seq for bar in bars] == [one.seq for one in story]
    assert [bar.left for bar in bars] == sorted(bar.left for bar in bars)
    assert all(bar.left + bar.width <= 100.1 for lane in drawn for bar in lane.bars)
    (wait,) = [bar for bar in drawn[0].bars if bar.kind == "blocked"]
    assert next(bar.kind for bar in bars if bar.seq == wait.seq) == "person"
    assert [mark.kind for mark in drawn[0].marks] == ["person"]
    (step,) = [lane for lane in drawn if lane.group == "step"]
    assert [bar.kind for bar in step.bars] == ["blocked", "running"]
    assert {mark.kind for mark in step.marks} == {"succeeded", "effect"}


def test_a_part_of_a_story_shows_how_a_step_stood_before_it(hostile: tuple[Any, str]) -> None:
    story = hostile[0].history({"configurable": {"thread_id": "hostile"}})
    at = next(number for number, one in enumerate(story) if one.cause.kind == "person")
    (step,) = [lane for lane in timeline(story[at:], effects=[], until=story[-1].at).lanes if lane.group == "step"]
    assert step.bars[0].kind == "blocked"


def test_a_story_of_nothing_has_no_lanes() -> None:
    assert timeline([], effects=[], until=datetime.now(UTC)).lanes == []
