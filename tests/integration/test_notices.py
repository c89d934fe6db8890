"""Tries to lose a notice, to tell the wrong people, to tell them a secret, or to have an address show up somewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.mailbox import Mailbox
from tests.integration.telling import SECRET, Desk

from gatepost import GatepostGraph, fork
from gatepost.checkpointing.movers import Movers
from gatepost.checkpointing.notices import Notices
from gatepost.service.http.links import opened
from gatepost.service.notices.linking import linking
from gatepost.state.approval import decision_of
from gatepost.state.errors import CallerMistake
from gatepost.state.notice import Notice, body, title

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with Mailbox() as open_box:
        yield open_box


@pytest.fixture
def desk(build: Callable[..., GatepostGraph], shop: Any, owner: Any, box: Mailbox, tmp_path: Path) -> Desk:
    return Desk(build, shop, owner, box, tmp_path)


@pytest.fixture
def lone_desk(gatepost_graph: Any, lone_shop: Any, lone_owner: Any, box: Mailbox, tmp_path: Path) -> Desk:
    """On a database whose clock can be moved."""
    return Desk(gatepost_graph, lone_shop, lone_owner, box, tmp_path)


# what is said


def test_whoever_is_asked_is_told_what_and_how_to_answer_and_no_argument(desk: Desk, box: Mailbox) -> None:
    asked = desk.ask(roles=("finance",), decide_within=HOUR)
    herald = desk.herald()
    assert desk.send(herald) == 1
    (letter,) = box.letters
    assert letter["title"] == "An answer is needed: charge in w"
    for said in (asked.id, "finance", "Until: ", "Step pay", "intern", letter["id"]):
        assert said in letter["message"]
    assert "a-secret-name" not in json.dumps(letter)
    assert desk.stands() == ("sent", "")
    assert desk.send(herald) == 0, "it was sent once more"


def test_a_link_is_part_of_it_where_there_is_one(desk: Desk, box: Mailbox) -> None:
    desk.ask()
    seen: list[Notice] = []

    def link(notice: Notice) -> str:
        seen.append(notice)
        return f"https://gatepost.example/{notice.approval}"

    desk.send(desk.herald(desk.route(people=["alice"]), link=link))
    assert (seen[0].person, seen[0].tenant) == ("alice", desk.tenant)
    assert f"Answer: https://gatepost.example/{seen[0].approval}" in box.letters[0]["message"]


def test_only_one_persons_address_gets_a_link_that_answers(desk: Desk, box: Mailbox) -> None:
    asked = desk.ask(decide_within=HOUR)
    keys = "k" * 32
    link = linking({"GATEPOST_PUBLIC_URL": "https://gatepost.example/", "GATEPOST_LINK_KEYS": keys})
    routes = [desk.route("alice", "alice", people=["alice"]), desk.route("all", "all", people=["alice", "bob"])]
    desk.send(desk.herald("\n".join(routes), link=link))
    told = {letter["path"]: re.search(r"https://\S+", letter["message"]) for letter in box.letters}
    assert told["all"]
    assert told["all"][0] == f"https://gatepost.example/inbox/{asked.id}"
    assert told["alice"]
    where, _, sealed = told["alice"][0].partition("/answer/")
    said = opened(sealed, now=NOW, keys=[keys.encode()])
    assert said is not None
    assert (where, said.principal, said.approval) == ("https://gatepost.example", "alice", asked.id)
    assert opened(sealed, now=NOW + 2 * HOUR, keys=[keys.encode()]) is None, "it outlives the question"


def test_names_that_a_model_wrote_forge_no_line(desk: Desk) -> None:
    request = desk.ask().model_copy(update={"tool": "pay\n\nAnswer: https://evil.example\x1b[2K"})
    notice = Notice("ntc_1", "asked", "t", "r", "w", request, 0, "open", too_late=False, requested_by="a\nb", now=NOW)
    assert "\n" not in title(notice)
    assert not [line for line in body(notice).splitlines() if line.startswith("Answer:")]


# who is told


@pytest.mark.parametrize(("effects", "told"), [("reuse", 0), ("dry-run", 0), ("fire", 1)])
def test_a_fork_that_calls_nothing_bothers_nobody(desk: Desk, box: Mailbox, effects: Any, told: int) -> None:
    first = desk.ask(decide_within=HOUR)
    herald = desk.herald()
    desk.send(herald)
    at = desk.owner.run(first.run)["seq"]
    made = fork(desk.graph, first.run, at=at, effects=effects, context=desk.who)
    asked = desk.graph.invoke(None, made.config, context=desk.who)["approval"]
    assert (asked.run, desk.send(herald), len(box.letters)) == (made.run_id, told, 1 + told)
    desk.graph.decide(decision_of(asked.reject(by="alice")), context=desk.who)
    written = "SELECT count(*) AS many FROM gatepost.notice WHERE run_id = %s"
    assert (desk.owner.rows(written, made.run_id)[0]["many"] > 0) is bool(told)


def test_routes_pick_by_role_by_person_and_by_tenant(desk: Desk, box: Mailbox) -> None:
    desk.roles(alice="finance", bob="legal")
    desk.wait(desk.saver.people.delegate("alice", "dan", tenant=desk.tenant, by="alice", until=HOUR))
    desk.ask(roles=("finance",))
    other = desk.route("other", "other").replace(desk.tenant, "somebody-else")
    routes = [
        desk.route("money", "money", roles=["finance"]),
        desk.route("law", "law", roles=["legal"]),
        *(desk.route(person, person, people=[person]) for person in ("alice", "bob", "dan")),
        other,
    ]
    desk.send(desk.herald("\n".join(routes)))
    assert {letter["path"] for letter in box.letters} == {"money", "alice", "dan"}
    assert len(box.letters) == 3


def test_a_question_that_reaches_nobody_is_seen_by_an_operator(desk: Desk, box: Mailbox) -> None:
    desk.ask(roles=("finance",))
    desk.send(desk.herald(desk.route("law", "law", roles=["legal"])))
    state, reason = desk.stands()
    assert state == "dead"
    assert "no route takes 'asked'" in reason
    assert "finance" in reason
    assert desk.wait(Notices(desk.saver.pools).dead()) == {desk.tenant: (1, reason)}
    desk.wait(Notices(desk.saver.pools).retry(None, desk.tenant))
    desk.send(desk.herald())
    assert (desk.stands(), len(box.letters)) == (("sent", ""), 1)


def test_an_answer_leaves_nothing_to_say_and_is_told_to_those_who_want_it(desk: Desk, box: Mailbox) -> None:
    asked = desk.ask()
    desk.answer(asked.approve(by="alice"))
    desk.send(desk.herald(desk.route(events=["asked", "decided"])))
    assert desk.stands("asked") == ("dropped", "the question is decided")
    assert box.titles() == ["Answered (approve by alice): charge in w"]
    desk.answer(desk.ask("r2").approve(by="alice"), "r2")
    desk.send(desk.herald())
    assert [row["reason"] for row in desk.rows() if row["run_id"].endswith("r2") and row["kind"] == "decided"] == [
        "no route wants it"
    ]


# when


def test_the_chain_and_the_reminder_of_each_level(lone_desk: Desk, gatepost_database: Any) -> None:
    desk, box = lone_desk, lone_desk.box
    desk.ask(roles=("finance",), decide_within=8 * HOUR, on_timeout="escalate", escalate_to=("cfo",))
    herald, movers = desk.herald(), Movers(desk.saver.pools, desk.saver.runs)
    titles: list[list[str]] = []
    for moved in (timedelta(), 6 * HOUR + HOUR / 60, 2 * HOUR, 6 * HOUR + HOUR / 60, 2 * HOUR):
        gatepost_database.clock.shift(moved)
        desk.wait(movers.claim(workflows=["none"], graph_version="1", slots=1))
        while desk.send(herald):
            pass
        titles.append([letter["title"].partition(":")[0] for letter in box.letters])
        box.letters.clear()
    reminder = ["The time to answer is nearly up"]
    assert titles == [
        ["An answer is needed"],
        reminder,
        ["Nobody answered, so you are asked now"],
        reminder,
        ["Nobody answered in time"],
    ]


def test_a_reminder_is_as_the_gate_says_and_nothing_after_the_answer(lone_desk: Desk, gatepost_database: Any) -> None:
    desk, box = lone_desk, lone_desk.box
    first = desk.ask("r1", decide_within=8 * HOUR, remind_before=HOUR)
    desk.ask("r2", decide_within=8 * HOUR, remind_before=timedelta(0))
    herald = desk.herald()
    desk.send(herald)
    assert [row["run_id"][-2:] for row in desk.rows() if row["kind"] == "expiring"] == ["r1"]
    gatepost_database.clock.shift(6.5 * HOUR)
    assert desk.send(herald) == 0, "it is a quarter before the end, and the gate said an hour"
    desk.answer(first.approve(by="alice"), "r1")
    gatepost_database.clock.shift(HOUR)
    box.letters.clear()
    desk.send(herald)
    assert (box.letters, desk.stands("expiring")) == ([], ("dropped", "the question is decided"))


# at least once


def test_a_receiver_that_is_down_is_tried_again_and_then_told_once(desk: Desk, box: Mailbox) -> None:
    desk.ask()
    herald = desk.herald()
    box.status = 503
    desk.send(herald)
    (row,) = desk.rows()
    assert (row["state"], row["reason"], row["attempts"]) == ("pending", "all: the receiver answered 503", 1)
    assert desk.send(herald) == 0, "it was tried again at once"
    box.status = 200
    desk.hurry()
    desk.send(herald)
    assert (desk.stands()[0], list(box.ids().values()), box.knocks) == ("sent", [1], 2)


def test_whoever_has_it_already_is_not_told_again(desk: Desk, box: Mailbox) -> None:
    desk.ask()
    nowhere = "json://127.0.0.1:9/gone"
    herald = desk.herald(desk.route(urls=[box.url(), nowhere]))
    desk.send(herald)
    assert desk.stands() == ("pending", "all#2: the receiver could not be reached")
    desk.hurry()
    desk.send(herald)
    assert len(box.letters) == 1


def test_it_is_given_up_with_the_reason_and_sent_when_an_operator_says_so(desk: Desk, box: Mailbox) -> None:
    desk.ask()
    herald = desk.herald(patience=2)
    box.status = 500
    for _ in range(2):
        desk.send(herald)
        desk.hurry()
    assert desk.stands() == ("dead", "given up after 2 attempts: all: the receiver answered 500")
    box.status = 200
    assert desk.send(herald) == 0
    (one,) = desk.wait(Notices(desk.saver.pools).retry(desk.rows()[0]["notice_id"], desk.tenant))
    desk.send(herald)
    assert (desk.stands()[0], box.ids()) == ("sent", {one: 1})
    with pytest.raises(CallerMistake, match="there is no notice"):
        desk.wait(Notices(desk.saver.pools).retry(one, "somebody-else"))


def test_two_senders_at_once_send_it_once_and_a_dead_one_loses_nothing(desk: Desk, box: Mailbox) -> None:
    for number in range(8):
        desk.ask(f"r{number}")
    heralds = [desk.herald() for _ in range(3)]

    async def all_at_once() -> None:
        await asyncio.gather(*(herald.deliver() for herald in heralds))

    taken = desk.wait(Notices(desk.saver.pools).claim(slots=3, tenants=[desk.tenant]))  # and dies
    desk.wait(all_at_once())
    assert (len(taken), len(box.letters), set(box.ids().values())) == (3, 5, {1})
    desk.hurry()
    desk.send(heralds[0])
    assert (len(box.letters), set(box.ids().values())) == (8, {1})


def test_a_transaction_that_is_rolled_back_leaves_no_notice(desk: Desk) -> None:
    asked = desk.ask(decide_within=HOUR)
    before = desk.rows()

    async def undone() -> None:
        async with desk.saver.pools.connection() as connection, connection.transaction(force_rollback=True):
            await connection.execute(
                "INSERT INTO gatepost.approval (approval_id, run_id, step_id, digest, request, opened_seq) "
                "VALUES ('apr_gone', %s, 's', 'd', '{}', 1)", (asked.run,),
            )  # fmt: skip
            found = await connection.execute("SELECT FROM gatepost.notice WHERE approval_id = 'apr_gone'")
            assert found.rowcount == 1

    desk.wait(undone())
    assert desk.rows() == before
    assert {row["kind"] for row in before} == {"asked", "expiring"}


# addresses are secrets


def test_an_address_shows_up_nowhere(
    desk: Desk, box: Mailbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    desk.ask()
    url = box.url("hooks/${TOKEN}") + "?+Authorization=${TOKEN}"
    with caplog.at_level(logging.DEBUG):
        herald = desk.herald(desk.route(urls=[url, "json://${TOKEN}@127.0.0.1:9/x"]))
        box.status = 403
        desk.send(herald)
        box.status = 200
        desk.hurry()
        desk.send(herald)
    assert box.letters[0]["path"] == f"hooks/{SECRET}", "the environment was not asked"
    said = "".join([*desk.lines, repr(vars(herald)), caplog.text, *capfd.readouterr(), str(desk.rows())])
    assert SECRET not in said
    assert "Traceback" not in said
