"""`gatepost fork` as people type it: nothing is booked unless they say so, and the other run stays as it is.

Whatever the till books is in a file; whatever stands in the database of the other run is compared byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.processes import wait_until
from tests.acceptance.shell import SECONDS, TYPED, Shell

from gatepost.service.cli.exits import Exit
from gatepost.testing import Databases

OURS = ("run", "step", "transition", "plan", "approval", "decision", "effect", "artifact", "entry", "intervention")
THEIRS = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory, gatepost_databases: Databases) -> Iterator[Shell]:
    """A finished sale that was booked once."""
    with gatepost_databases.migrated() as database:
        shell = Shell(tmp_path_factory.mktemp("sold"), database.url)
        shell.run("run", "--goal", "sell", "--id", "r1", "--as", "bob")
        shell.run("approval", "approve", shell.question("r1"), "--as", "alice")
        assert len(shell.booked()) == 1
        yield shell


def _kept(shell: Shell, run: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of a run; the heart of a live one goes on beating."""
    whose = {
        "run": "run_id = %s",
        "decision": "approval_id IN (SELECT approval_id FROM gatepost.approval WHERE run_id = %s)",
    }
    ours = {
        name: shell.rows(
            f"SELECT (to_jsonb(t) - 'lease_expires_at')::text AS row FROM gatepost.{name} t "  # noqa: S608
            f"WHERE {whose.get(name, 'run_id = %s')} ORDER BY 1",
            run,
        )
        for name in OURS
    }
    theirs = {
        name: shell.rows(f"SELECT t::text AS row FROM {name} t WHERE thread_id = %s ORDER BY 1", run)  # noqa: S608
        for name in THEIRS
    }
    return {**ours, **theirs}


def _at(shell: Shell, run: str, node: str) -> str:
    """The first transition after which a node runs."""
    statement = "SELECT min(seq) AS seq FROM gatepost.transition WHERE run_id = %s AND %s = ANY(next)"
    return str(shell.rows(statement, run, node)[0]["seq"])


def _forked(shell: Shell, run: str, *arguments: str, to: str) -> Any:
    said = shell.run("fork", run, "--at", _at(shell, run, "executor"), "--id", to, *arguments, "--as", "carol")
    assert f"[fork] id={to} of {run} at " in said.out, said
    return said


def test_a_finished_sale_is_forked_without_a_booking(sold: Shell) -> None:
    before, booked = _kept(sold, "r1"), sold.booked()
    for effects, change in (("reuse", ()), ("dry-run", ("--set", "steps.book.args.cents=90"))):
        said = _forked(sold, "r1", "--effects", effects, *change, to=effects)
        assert said.code == Exit.WAITS
        assert f"\n  a yes calls nothing: this run is a fork (effects: {effects}). The step gets a" in said.err
        assert f"a yes calls nothing (a fork, effects: {effects})" in sold.run("approval", "list").out
        assert sold.run("approval", "approve", sold.question(effects), "--as", "alice").code == Exit.OK
        (row,) = sold.rows("SELECT * FROM gatepost.run WHERE run_id = %s", effects)
        assert (row["status"], row["parent_run_id"], row["fork_effects"]) == ("succeeded", "r1", effects)
        assert (row["requested_by"], row["input"]) == ("carol", {})
        assert sold.rows("SELECT key FROM gatepost.effect WHERE run_id = %s", effects) == []
        assert "earlier:" not in sold.run("history", effects).err
    for some in (("--limit", "1"), ("--limit", "1", "--json")):
        assert "there are more than these 1" in sold.run("run", "list", *some).err
    assert sold.run("run", "list", "--limit", "3").err == ""
    assert (sold.booked(), _kept(sold, "r1")) == (booked, before)


def test_a_fork_that_fires_books_once_after_an_approval_of_its_own(sold: Shell) -> None:
    before, booked = _kept(sold, "r1"), sold.booked()
    said = _forked(sold, "r1", "--effects", "fire", "--set", "steps.book.args.cents=70", to="fired")
    assert (said.code, "a yes calls nothing" in said.err) == (Exit.WAITS, False)
    assert sold.booked() == booked
    sold.run("approval", "approve", sold.question("fired"), "--as", "alice")
    ((key, what),) = [one for one in sold.booked() if one not in booked]
    assert what == "ada:70:"
    assert key not in dict(booked)
    assert _kept(sold, "r1") == before


def test_a_blocked_run_is_forked_and_still_asks_its_question(sold: Shell) -> None:
    sold.run("run", "--goal", "sell", "--id", "blocked")
    before, booked, question = _kept(sold, "blocked"), sold.booked(), sold.question("blocked")
    _forked(sold, "blocked", "--effects", "fire", to="of-blocked")
    assert sold.question("of-blocked") != question
    sold.run("approval", "reject", sold.question("of-blocked"), "--as", "alice", "--comment", "no")
    assert (sold.booked(), _kept(sold, "blocked")) == (booked, before)


def test_a_live_run_is_forked_in_the_middle_of_its_call(sold: Shell) -> None:
    booked = len(sold.booked())
    policy = str(sold.folder / "allow.cedar")
    with sold.started("--workflows", "till:WORKFLOWS", "--policy", policy, "run", "--goal", "linger", "--id", "live"):
        wait_until(lambda: len(sold.booked()) > booked, seconds=SECONDS)
        before = _kept(sold, "live")
        for effects in ("reuse", "fire"):
            _forked(sold, "live", "--effects", effects, to=f"live-{effects}")
        sold.run("approval", "approve", sold.question("live-fire"), "--as", "alice")
        assert _kept(sold, "live") == before
    (row,) = sold.rows("SELECT status, reason FROM gatepost.run WHERE run_id = 'live-fire'")
    assert row["status"] == "failed"
    assert "is not known yet" in row["reason"]
    assert len(sold.booked()) == booked + 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--at", "999"), Exit.USAGE, f"is no transition and no checkpoint of run r1. `{TYPED} history r1`"),
        (("--at", "4", "--set", 'steps.book.args.controls=["a"'), Exit.USAGE, "controls takes a JSON list"),
        (("--at", "4", "--id", "r1"), Exit.CONFLICT, "the id 'r1' belongs to another run"),
    ],
)
def test_mistakes_are_told_and_change_nothing(sold: Shell, arguments: tuple[str, ...], code: Exit, told: str) -> None:
    counts = "SELECT (SELECT count(*) FROM gatepost.run) AS runs, (SELECT count(*) FROM checkpoints) AS checkpoints"
    before = sold.rows(counts)
    said = sold.run("fork", "r1", *arguments)
    assert (said.code, said.out) == (code, "")
    assert told in " ".join(said.err.split())
    assert sold.rows(counts) == before
