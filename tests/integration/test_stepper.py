"""The stepper where people see it: in a real browser and a real kernel, with a run in which everybody wrote markup."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel
from tests.golden import workflows as made
from tests.integration.browser import Tab, browser, needs_chromium

from gatepost import Checkpointer, Every, FixedPlan, GatepostGraph, Plan, RunContext, Step, Workflow, build_graph, tool
from gatepost.notebook import Stepper, stepper
from gatepost.state.errors import InvalidValue, UnknownRun
from gatepost.testing import Database

HOSTILE = (
    "</style></details><script>alert('text')</script><img src=x onerror=alert(1)><svg onload=alert(2)>{{7*7}}\u202e"
)
MANY = 250


@tool(effect="read")
def look(text: str) -> dict[str, Any]:
    return {"said": text, text: text, "many": {f"m{number}": [number] for number in range(MANY)}}


PLAN = Plan(steps=tuple(Step(id=name, tool="look", args={"text": HOSTILE}) for name in ("one", "two")), reason=HOSTILE)
WORKFLOWS = [
    Workflow(name="hostile", goals=(HOSTILE,), strategy=FixedPlan(PLAN), tools=(look,)),
    Workflow(name="sparse", goals=("sparse",), strategy=FixedPlan(PLAN), tools=(look,), checkpoints=Every(100)),
]


@pytest.fixture(scope="module")
def graph(town_hall: Checkpointer) -> GatepostGraph:
    graph = build_graph(WORKFLOWS, town_hall, policy=made.ALL)
    for run, goal in (("hostile", HOSTILE), ("sparse", "sparse")):
        result = graph.invoke({"goal": goal, "input": {"note": HOSTILE}}, {"configurable": {"thread_id": run}})
        assert result["status"] == "succeeded"
    return graph


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@pytest.fixture
def drawn(tab: Tab, graph: GatepostGraph) -> Iterator[Tab]:
    """The stepper as it is drawn in a notebook; the channel to the kernel is one of HTTP to the same Python."""
    steps = stepper(graph, "hostile", widget=False)
    with _served(steps) as url:
        tab.look()
        tab.open(url)
        tab.until("document.querySelector('.gatepost-stepper')?.dataset.at")
        yield tab


def test_a_run_is_stepped_through_from_python(graph: GatepostGraph) -> None:
    steps = stepper(graph, "hostile")
    assert steps.run["status"] == "succeeded"
    assert getattr(steps, "at", None) == steps.run["last"]
    assert steps.state(steps.run["last"])["steps"]["one"]["status"] == "succeeded"
    assert ("status", "running", "succeeded") in [tuple(one) for one in steps.compare(3, steps.run["last"])]
    bundle: Any = steps._repr_mimebundle_()
    assert "text/html" in bundle[0]
    for asked in ({"ask": "state", "seq": 99}, {"ask": "state", "seq": 0}, {"ask": "drop"}):
        with pytest.raises(InvalidValue):
            steps.answer(asked)
    with pytest.raises(UnknownRun):
        stepper(graph, "nobody")
    with pytest.raises(UnknownRun):
        stepper(graph, "hostile", context=RunContext(tenant="other"))


def test_a_transition_whose_state_was_not_kept_is_shown_without_it(graph: GatepostGraph) -> None:
    steps = stepper(graph, "sparse", widget=False)
    page = steps.answer({"ask": "page", "after": 0})["page"]
    lost = next(one["seq"] for one in page if not one["kept"])
    with pytest.raises(InvalidValue, match="checkpoint policy"):
        steps.state(lost)
    kept = [one["seq"] for one in page if one["kept"]]
    assert steps.answer({"ask": "state", "seq": kept[-1]})["since"] == kept[-2]
    assert "No state was kept here" in steps.html()


@needs_chromium
def test_the_page_without_a_kernel_runs_nothing_and_opens_by_hand(
    tab: Tab, graph: GatepostGraph, tmp_path: Path
) -> None:
    path = tmp_path / "static.html"
    html = stepper(graph, "hostile", widget=False)._repr_mimebundle_()["text/html"]
    path.write_text(f"<!doctype html><meta charset=utf-8><title>mine</title>{html}", encoding="utf-8")
    tab.open(path.as_uri())
    assert tab.run("document.querySelectorAll('script, img, svg, a, iframe').length") == 0
    steps = "document.querySelectorAll('.gatepost-stepper > details')"
    assert tab.run(f"[...{steps}].map(one => one.open)") == [False] * (tab.run(f"{steps}.length") - 1) + [True]
    tab.run(f"{steps}[3].querySelector('summary').click()")
    tab.until(f"{steps}[3].open && ![...{steps}].at(-1).open")  # one at a time: it is stepped
    assert "<script>alert('text')</script>" in tab.run("document.body.textContent")
    assert (tab.run("document.title"), tab.dialogs, tab.complaints) == ("mine", [], [])


@needs_chromium
def test_it_is_stepped_by_buttons_slider_and_keys(drawn: Tab) -> None:
    last = drawn.run("model.get('run').last")
    assert drawn.run("model.get('at')") == last

    def click(label: str) -> None:
        drawn.run(f"document.querySelector('[aria-label=\"{label}\"]').click()")

    for label, seq in (("First", 1), ("Next", 2), ("Next", 3), ("Previous", 2), ("Last", last), ("Next", last)):
        click(label)
        _at(drawn, seq)
    for key, seq in (
        ("Home", 1),
        ("ArrowRight", 2),
        ("PageDown", min(12, last)),
        ("End", last),
        ("ArrowLeft", last - 1),
    ):
        drawn.run("document.querySelector('.gatepost-stepper').focus()")
        drawn.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        _at(drawn, seq)
    drawn.run("{ const s = document.querySelector('[type=range]'); s.value = 4; s.dispatchEvent(new Event('input')); }")
    _at(drawn, 4)
    assert "#4 policy_gate" in drawn.run("document.body.innerText")
    assert "changes since #3" in drawn.run("document.body.innerText")
    drawn.run(
        "{ const n = document.querySelector('[type=number]'); n.value = 1; n.dispatchEvent(new Event('change')); }"
    )
    drawn.until("document.body.innerText.includes('since #1')")
    assert drawn.complaints == []


@needs_chromium
def test_a_state_is_opened_as_far_as_one_looks_and_is_text(drawn: Tab) -> None:
    def opened(*names: str) -> str:
        at = "document.querySelector('.tree > details')"
        for name in names:
            own = f"one.tagName === 'DETAILS' && one.firstChild.textContent.startsWith({json.dumps(name)})"
            at = f"[...{at}.children].find(one => {own})"
            drawn.until(at)
            drawn.run(f"{at}.open = true")
        return at

    many = opened("steps", "one", "output", "many")
    drawn.until(f"{many}.innerText.includes('m99')")
    assert not drawn.run(f"{many}.innerText.includes('m100')")
    for last in (199, 249):
        drawn.run(f"{many}.querySelector(':scope > button').click()")
        drawn.until(f"{many}.innerText.includes('m{last}')")
    assert drawn.run(f"{many}.querySelector(':scope > button') === null")
    assert "<script>alert('text')</script>" in drawn.run("document.body.textContent")
    assert drawn.run("document.querySelectorAll('img, svg, iframe').length") == 0
    assert not drawn.run("document.body.textContent.includes('\\u202e')")
    assert (drawn.dialogs, drawn.complaints) == ([], [])


@needs_chromium
def test_what_cannot_be_answered_is_said_where_it_was_asked(drawn: Tab) -> None:
    drawn.run(
        "{ const n = document.querySelector('[type=number]'); n.value = 99; n.dispatchEvent(new Event('change')); }"
    )
    drawn.until("document.querySelector('[role=alert]')")
    assert "has no transition 99" in drawn.run("document.querySelector('[role=alert]').textContent")


def test_a_kernel_answers_the_widget_while_its_loop_runs(graph: GatepostGraph, town: Database) -> None:
    manager, client = start_new_kernel(extra_arguments=["--IPKernelApp.log_level=40"])
    try:
        code = f"""
import asyncio
from gatepost import build_graph, open_checkpointer
from gatepost.examples.vendor_onboarding import WORKFLOW
from gatepost.notebook import stepper
assert asyncio.get_running_loop().is_running()
steps = stepper(build_graph([WORKFLOW], open_checkpointer({town.url!r}, migrate=False)), "hostile", at=3)
steps
"""
        seen: list[dict[str, Any]] = []
        reply = client.execute_interactive(code, output_hook=seen.append, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        (shown,) = [one["content"]["data"] for one in seen if one["msg_type"] == "execute_result"]
        assert "<script>" not in shown["text/html"]
        model = shown["application/vnd.jupyter.widget-view+json"]["model_id"]
        states = [one["content"]["data"]["state"] for one in seen if one["msg_type"] == "comm_open"]
        (state,) = [one for one in states if "at" in one]
        assert (state["at"], state["run"]["run"]) == (3, "hostile")
        assert "export default" in state["_esm"]

        def asked(data: dict[str, Any]) -> dict[str, Any]:
            message = client.session.msg("comm_msg", {"comm_id": model, "data": data})
            client.shell_channel.send(message)
            while True:
                said = client.get_iopub_msg(timeout=30)
                if said["msg_type"] == "comm_msg" and said["content"]["data"].get("method") == "custom":
                    found: dict[str, Any] = said["content"]["data"]["content"]
                    return found

        found = asked({"method": "custom", "content": {"id": "7", "ask": "state", "seq": 3}})
        assert (found["id"], found["since"], found["tree"]["name"]) == ("7", 2, "state")
        assert (
            "no transition 99"
            in asked({"method": "custom", "content": {"id": "8", "ask": "state", "seq": 99}})["error"]
        )
        client.shell_channel.send(
            client.session.msg("comm_msg", {"comm_id": model, "data": {"method": "update", "state": {"at": 5}}})
        )
        told: list[dict[str, Any]] = []
        client.execute_interactive(
            "print(steps.at, steps.state(steps.at)['status'])", output_hook=told.append, timeout=30
        )
        assert [one["content"]["text"] for one in told if one["msg_type"] == "stream"] == ["5 running\n"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _at(tab: Tab, seq: int) -> None:
    tab.until(f"document.querySelector('.gatepost-stepper').dataset.at === '{seq}'")
    assert tab.run("model.get('at')") == seq


_PAGE = """<!doctype html><meta charset=utf-8><link rel=icon href=data:,><div id=here></div><script type=module>
import draw from "./stepper.js";
const values = {run: RUN, at: RUN.last}, heard = [], changed = [];
window.model = {
  get: (name) => values[name],
  set(name, value) {
    const was = values[name];
    values[name] = value;
    if (was !== value) changed.forEach((one) => one());
  },
  save_changes() {},
  on: (what, act) => (what === "msg:custom" ? heard : changed).push(act),
  off() {},
  async send(message) {
    const answer = await (await fetch("/ask", {method: "POST", body: JSON.stringify(message)})).json();
    heard.forEach((one) => one(answer));
  },
};
draw.render({model: window.model, el: document.getElementById("here")});
</script>"""


class _served:  # noqa: N801 (a context manager)
    def __init__(self, steps: Stepper) -> None:
        run = json.dumps(steps.run).replace("<", "\\u003c")
        pages = {
            "/": ("text/html", _PAGE.replace("RUN", run)),
            "/stepper.js": (
                "text/javascript",
                files("gatepost.service").joinpath("notebook", "stepper.js").read_text(),
            ),
        }

        class Kernel(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(*pages[self.path])

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    answer = steps.answer(asked)
                except InvalidValue as error:
                    answer = {"error": str(error)}
                self._say("application/json", json.dumps({"id": asked["id"], **answer}))

            def _say(self, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("content-type", f"{kind}; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (theirs)
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Kernel)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
