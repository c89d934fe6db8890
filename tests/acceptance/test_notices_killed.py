"""Tries to lose a notice, or to have its receiver count one twice, by SIGKILL while a worker sends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.acceptance.shell import Shell
from tests.integration.mailbox import Mailbox

from gatepost.testing import Database

KILLED = -9


def _json(shell: Shell, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shell.run(*arguments, "--json").out)
    return found


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with Mailbox() as open_box:
        yield open_box


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database, box: Mailbox) -> Shell:
    """A folder with a file of routes in it."""
    said = {"name": "all", "urls": [box.url()], "events": ["asked", "decided"]}
    (tmp_path / "notices.toml").write_text(
        "[[route]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())
    )
    return Shell(tmp_path, gatepost_database.url, GATEPOST_NOTICES="notices.toml")


def test_killed_between_sending_and_marking_it_comes_twice_under_one_id(
    shell: Shell, box: Mailbox, gatepost_database: Database
) -> None:
    assert shell.run("run", "start", "--goal", "sell", "--id", "r", "--detach").code == 0
    shell.environment["GATEPOST_CRASH_AT"] = "telling.sent"
    assert shell.run("worker", "--until-idle").code == KILLED
    del shell.environment["GATEPOST_CRASH_AT"]
    (asked,) = _json(shell, "approval", "list")
    assert [letter["title"] for letter in box.letters] == ["An answer is needed: book in sell"]
    (row,) = _json(shell, "notice", "list")
    assert (row["state"], row["attempts"], row["told"]) == ("pending", 1, [])
    with psycopg.connect(gatepost_database.url, autocommit=True) as owner:  # the dead one's lease is over
        owner.execute("UPDATE gatepost.notice SET due_at = gatepost.now()")
    said = shell.run("worker", "--until-idle")
    assert (said.code, list(box.ids().values())) == (0, [2]), said.out
    assert "to all=sent" in said.out
    assert _json(shell, "notice", "list") == []
    assert shell.run("approval", "approve", asked["approval_id"], "--no-run").code == 0
    assert shell.run("worker", "--until-idle").code == 0
    assert sorted(box.ids().values()) == [1, 2]
    told = {row["kind"]: row["state"] for row in _json(shell, "notice", "list", "--all")}
    assert told == {"asked": "sent", "decided": "sent"}


def test_what_reaches_nobody_is_told_by_the_doctor_and_sent_again(shell: Shell, box: Mailbox) -> None:
    (shell.folder / "notices.toml").write_text(f'[[route]]\nname = "law"\nroles = ["legal"]\nurls = ["{box.url()}"]\n')
    shell.run("run", "start", "--goal", "sell", "--id", "r", "--detach")
    assert shell.run("worker", "--until-idle").code == 0
    listed = shell.run("notice", "list")
    assert "no route takes 'asked'" in listed.out
    doctor = shell.run("doctor")
    assert doctor.code == 7
    assert "✗ notices: 1 reached nobody; the newest: no route takes 'asked'" in doctor.out
    (shell.folder / "notices.toml").write_text(f'[[route]]\nname = "all"\nurls = ["{box.url()}"]\n')
    tried = shell.run("notice", "check", "--send")
    assert (tried.code, box.titles()) == (0, ["Gatepost: a test"]), tried.err
    assert shell.run("notice", "retry", "--all").code == 0
    assert shell.run("worker", "--until-idle").code == 0
    assert box.titles()[1:] == ["An answer is needed: book in sell"]
    box.status = 500
    assert shell.run("notice", "check", "--send").code == 4
    assert shell.bare("--notices", "nowhere.toml", "notice", "check").code == 2
