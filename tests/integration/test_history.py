"""History: what a page says, that it is bounded however long a run is, and that an export is whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from gatepost import RunContext
from gatepost.checkpointing.queries import query
from gatepost.state.chain import verify
from gatepost.state.errors import InvalidValue, UnknownRun
from gatepost.state.transition import Transition

LONG = 10_000


@pytest.fixture
def sold(shop: Any) -> Any:
    shop.answer(shop.open().approve(by="alice", comment="fine"))
    return shop


@pytest.fixture
def story(sold: Any) -> list[Transition]:
    page: list[Transition] = sold.graph.history(sold.config())
    return page


def test_every_transition_is_told_once_in_order(sold: Any, story: list[Transition], owner: Any) -> None:
    assert [one.seq for one in story] == list(range(1, owner.run(sold.run())["seq"] + 1))
    assert [(one.was, one.status) for one in story if one.was != one.status] == [
        ("queued", "running"),
        ("running", "blocked"),
        ("blocked", "running"),
        ("running", "succeeded"),
    ]


def test_steps_are_told_from_where_to_where(story: list[Transition]) -> None:
    moves = [(move.step, move.was, move.to) for one in story for move in one.steps]
    assert [move[1:] for move in moves if move[0] == "charge"] == [
        ("pending", "blocked"),
        ("blocked", "running"),
        ("running", "succeeded"),
    ]


def test_who_started_and_who_answered_are_the_causes(story: list[Transition]) -> None:
    assert [one.cause.kind for one in story if one.cause.kind != "owner"] == ["start", "person"]
    (answered,) = (one for one in story if one.cause.kind == "person")
    assert (answered.cause.who, answered.nodes) == ("alice", ("approval",))
    assert answered.waited > 0
    assert answered.cause.why.startswith("approve apr_")


def test_effects_and_approvals_hang_on_their_transitions(story: list[Transition]) -> None:
    effects = [(one.nodes, effect["step"], effect["state"]) for one in story for effect in one.effects]
    assert effects == [(("executor",), "charge", "succeeded")]
    asked = [(one.nodes, each["what"], len(each["decisions"])) for one in story for each in one.approvals]
    assert asked == [(("policy_gate",), "opened", 0), (("approval",), "answered", 1)]
    said = next(each["decisions"][0] for one in story for each in one.approvals if each["what"] == "answered")
    assert (said["by"], said["comment"], said["channel"], said["authenticated"]) == (
        "alice",
        "fine",
        "python",
        "asserted",
    )


def test_channels_and_plans_are_told(story: list[Transition]) -> None:
    assert "frontier" in {channel for one in story for channel in one.channels}
    assert [(thing["kind"], thing["name"]) for one in story for thing in one.made] == [("plan", "v1")]


def test_plain_is_json(story: list[Transition]) -> None:
    assert [json.loads(json.dumps(one.plain()))["seq"] for one in story] == [one.seq for one in story]


def test_pages_in_both_directions_are_the_whole(sold: Any, story: list[Transition]) -> None:
    back: list[Transition] = []
    while page := sold.graph.history(sold.config(), before=back[0].seq if back else None, limit=3):
        back = [*page, *back]
    assert back == story
    there: list[Transition] = []
    while page := sold.graph.history(sold.config(), after=there[-1].seq if there else 0, limit=3):
        there = [*there, *page]
    assert there == story


def test_from_async_code(sold: Any, story: list[Transition]) -> None:
    async def read() -> tuple[list[Transition], list[str]]:
        found = await sold.graph.ahistory(sold.config())
        lines = [line async for line in sold.graph.aexport(sold.config())]
        await sold.graph.saver.pools.close()
        return found, lines

    found, lines = asyncio.run(read())
    assert found == story
    assert verify(line.encode() for line in lines).lines == len(lines)


def test_an_operator_is_told(shop: Any) -> None:
    shop.open()
    bridge, orders = shop.graph.saver.bridge, shop.graph.saver.orders
    bridge.run(orders.give("cancel", shop.run(), "local", actor="olga", why="no more"))
    last = shop.graph.history(shop.config())[-1]
    assert (last.cause.kind, last.cause.who, last.cause.why) == ("operator", "olga", "no more")
    assert [order["kind"] for order in last.orders] == ["cancel"]


def test_another_owner_is_told(shop: Any, owner: Any) -> None:
    shop.open()
    owner.change("UPDATE gatepost.transition SET epoch = epoch - 1 WHERE run_id = %s AND seq < 4", shop.run())
    (taken,) = (one for one in shop.graph.history(shop.config()) if one.cause.kind == "takeover")
    assert taken.seq == 4


def test_a_run_of_another_tenant_has_no_history(sold: Any) -> None:
    other = RunContext(tenant="other")
    assert sold.graph.history(sold.config(), context=other) == []
    with pytest.raises(UnknownRun):
        list(sold.graph.export(sold.config(), context=other))


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 1_001}, {"before": 3, "after": 1}])
def test_a_page_that_is_none_is_refused(sold: Any, asked: dict[str, int]) -> None:
    with pytest.raises(InvalidValue, match="page"):
        sold.graph.history(sold.config(), **asked)


# however long


@pytest.fixture(scope="module")
def long_run(owner: Any) -> str:
    owner.change(
        "INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, "
        "fingerprint, status, seq) VALUES ('long', 'local', 'long', 'alice', 'g', 'w', '1', '{}', 'f', 'running', %s)",
        LONG,
    )
    owner.change(
        "INSERT INTO gatepost.transition (run_id, seq, at, source, nodes, next, status, actor, epoch) "
        "SELECT 'long', n, now() - interval '1 day' + n * interval '1 second', 'loop', '{executor}', "
        "'{policy_gate}', 'running', 'alice', 1 FROM generate_series(1, %s) AS n",
        LONG,
    )
    owner.change(
        "INSERT INTO gatepost.step (run_id, seq, step_id, status, at, record) "
        "SELECT 'long', n, 's' || (n / 2), (CASE WHEN n %% 2 = 0 THEN 'running' ELSE 'succeeded' END)"
        "::gatepost.step_status, now() - interval '1 day' + n * interval '1 second', "
        "json_build_object('step', 's' || (n / 2), 'tool', 't', 'key', 'k' || (n / 2), 'output', repeat('x', 2000)) "
        "FROM generate_series(1, %s) AS n",
        LONG,
    )
    owner.change(
        "INSERT INTO gatepost.effect (key, run_id, root_run_id, tenant, step_id, tool, tool_version, effect_class, "
        "on_doubt, fingerprint, arguments, state, epoch, intended_at, finished_at) SELECT 'k' || n, 'long', 'long', "
        "'local', 's' || n, 't', '1', 'write', 'retry', 'f', '{}', 'succeeded', 1, "
        "now() - interval '1 day' + (2 * n + 0.5) * interval '1 second', now() FROM generate_series(1, %s) AS n",
        LONG // 2 - 1,
    )
    owner.change("ANALYZE gatepost.transition, gatepost.step, gatepost.effect")
    return "long"


@contextmanager
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The cursors of all statements that are executed meanwhile."""
    cursors: list[Any] = []
    execute = psycopg.AsyncConnection.execute

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        cursor = await execute(self, *args, **kwargs)
        cursors.append(cursor)
        return cursor

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", counted)
        yield cursors


@pytest.mark.parametrize("asked", [{}, {"before": 5_001}, {"before": 101}, {"after": 5_000}])
def test_a_page_of_a_long_run_fetches_a_page(
    shop: Any, long_run: str, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = shop.graph.saver
    saver.bridge.run(saver.history.page(long_run, limit=1))  # the connection is there
    with fetched(monkeypatch) as cursors:
        page = saver.bridge.run(saver.history.page(long_run, limit=100, **asked))
    earlier = 0 if page[0].seq == 1 else 1
    steps_before = page[0].seq % 2 if earlier else 0  # a step that began before the page
    assert [one.seq for one in page] == list(range(page[0].seq, page[0].seq + 100))
    assert len(cursors) == 7
    effects = sum(len(one.effects) for one in page)
    assert sum(cursor.rowcount for cursor in cursors) == 100 + earlier + 100 + steps_before + effects
    assert 48 <= effects <= 51


def test_paging_through_a_long_run_finds_everything_once(shop: Any, long_run: str) -> None:
    saver, seen, before = shop.graph.saver, [], None
    while page := saver.bridge.run(saver.history.page(long_run, before=before, limit=1_000)):
        seen += [(one.seq, len(one.steps), one.steps[0].was) for one in page]
        before = page[0].seq
    assert sorted(seen) == [(n, 1, "running" if n % 2 and n > 1 else "pending") for n in range(1, LONG + 1)]


@pytest.mark.parametrize("name", ["newest", "next"])
def test_the_transitions_of_a_page_come_from_the_index(owner: Any, long_run: str, name: str) -> None:
    (plan,) = owner.explained(
        query(f"page.{name}"), {"run_id": long_run, "before": 9_000, "after": 9_000, "limit": 100}
    )
    nodes = list(_nodes(plan["QUERY PLAN"][0]["Plan"]))
    assert "transition_pkey" in {node.get("Index Name") for node in nodes}
    assert not any(node["Node Type"] == "Seq Scan" for node in nodes)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


# export


def test_an_export_says_who_decided_how_and_by_which_policies(sold: Any, owner: Any) -> None:
    lines = list(sold.graph.export(sold.config()))
    found = verify(line.encode() for line in lines)
    header = found.header["detail"]
    assert (header["tenant"], header["workflow"], header["graph_version"]) == ("local", "sell", "1")
    assert (header["policies"], len(header["policy_versions"])) == (["reads-run"], 1)
    told = [json.loads(line) for line in lines]
    (decision,) = (one for one in told if one["what"] == "decision")
    assert (decision["who"], decision["detail"]["channel"], decision["detail"]["authenticated"]) == (
        "alice",
        "python",
        "asserted",
    )
    assert decision["detail"]["policy_version"] == header["policy_versions"][0]
    assert [one["seq"] for one in told if one["what"] == "transition"] == list(
        range(1, owner.run(sold.run())["seq"] + 1)
    )
    assert (told[-1]["what"], told[-1]["lines"], told[-1]["to"]) == ("end", len(lines), "succeeded")


def test_an_export_is_as_of_one_moment(shop: Any, owner: Any) -> None:
    asked = shop.open()
    lines = shop.graph.export(shop.config())
    first = [next(lines)]
    shop.answer(asked.approve(by="alice"))
    told = [json.loads(line) for line in [*first, *lines]]
    assert not any(one["what"] == "decision" for one in told)
    assert told[-1]["to"] == "blocked"
