"""What is started to stay: it says at once where it is, and leaves in order when its terminal is closed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import subprocess
import termios
from datetime import timedelta
from pathlib import Path

import pytest
from tests.acceptance.shell import SECONDS, TILL, Shell
from tests.acceptance.warm import COMMAND

from gatepost import Checkpointer, build_graph
from gatepost.checkpointing.keys import SCOPES
from gatepost.service.cli.serve import _renewing
from gatepost.service.http.guard import Place
from gatepost.service.http.house import House
from gatepost.testing import Database

LENT = "SELECT revoked_at, expires_at - gatepost.now() < interval '10 min' AS short FROM gatepost.api_key"
DEV = ("dev", "--port", "0")
SERVE = ("serve", "--port", "0")


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


@pytest.mark.parametrize("command", [DEV, (*SERVE, "--with-worker"), ("worker",)])
def test_a_closed_terminal_lets_runs_reach_their_next_superstep(shell: Shell, command: tuple[str, ...]) -> None:
    assert shell.run("run", "start", "--detach", "--goal", "linger", "--id", "r1").code == 0
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *TILL, "--policy", "allow.cedar", *command],
        cwd=shell.folder,
        env=shell.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (no threads here)
    )
    try:
        os.close(theirs)
        shell.until_in()
        os.close(ours)
        process.send_signal(signal.SIGHUP)  # a shell sends another one; that is no hurry
        shell.open_door()
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    (run,) = shell.rows("SELECT status, owner FROM gatepost.run")
    assert run == {"status": "queued", "owner": None}
    assert all(row["revoked_at"] for row in shell.rows(LENT))


@pytest.mark.parametrize(
    ("command", "says", "lent"),
    [(DEV, "Open http://", [{"revoked_at": None, "short": True}]), (SERVE, "serving http://", [])],
)
def test_an_address_is_said_at_once_into_a_pipe_and_the_key_of_dev_soon_ends_when_it_is_killed(
    shell: Shell, command: tuple[str, ...], says: str, lent: list[dict[str, object]]
) -> None:
    shell.environment.pop("PYTHONUNBUFFERED", None)  # it would write at once whatever we do
    with shell.started(*TILL, *command) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], SECONDS)[0], "it keeps its address to itself"
        assert process.stdout.readline().decode().startswith(says)
        process.kill()
        process.wait()
    assert shell.rows(LENT) == lent


def test_the_key_of_dev_is_renewed_while_dev_lives_and_not_once_it_is_revoked(checkpointer: Checkpointer) -> None:
    house = House(build_graph((), checkpointer), Place(frozenset()))

    async def lent() -> None:
        made = await house.keys.create(
            tenant="local", principal="ada", scopes=SCOPES, lasts=timedelta(minutes=1), created_by="ada"
        )
        house.lent.add(made.key_id)
        renewing = asyncio.create_task(_renewing(house, every=timedelta()))
        async with asyncio.timeout(SECONDS):
            while (await house.keys.of_tenant("local"))[0]["expires_at"] == made.expires_at:
                pass
        renewing.cancel()
        await house.keys.revoke(made.key_id, "local", by="ada")
        await house.keys.renew(made.key_id, lasts=timedelta(minutes=1))
        assert await house.keys.of_id(made.key_id) is None

    checkpointer.bridge.run(lent())
