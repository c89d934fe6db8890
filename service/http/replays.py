"""Replays for callers: bounded in time, in length and in number, each in a process of its own (`service.replayer`).

Invariant: nothing of a replay runs in the process that serves. One that takes too long, or whose caller
is gone, is killed; nothing is lost by that, because a replay changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.recordings import record_of
from gatepost.graph.replay import check_stretch
from gatepost.service.http.problem import Refused
from gatepost.state import errors
from gatepost.state.errors import CallerMistake

SECONDS = 25.0
"""Under `guard.ANSWER_SECONDS`: a replay that takes too long is said to, with what helps."""
LONGEST = 3_000
"""Transitions of a run that is replayed over HTTP."""
LARGEST = 32 * 1024 * 1024
"""Bytes of its states, each of which holds the input: the record is in the memory of the service for a while."""
AT_ONCE = 2
_NEEDED = ("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_NEEDED_AS = ("LC_", "PYTHON", "SSL_CERT_")
"""What the process of a replay is told of the environment; the rest of it holds secrets of the service."""
_REPLAYER = ("-P", "-m", "gatepost.service.replayer")


@dataclass(frozen=True, slots=True)
class Code:
    """Where another process finds the workflows and policies of this one: as they were named on the command line."""

    workflows: tuple[str, ...] = ()
    policy: Path | None = None
    policies: Path | None = None
    reads: tuple[str, ...] = ()
    """Names of the environment that the workflows read."""

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What of the environment is theirs."""
        named = {*_NEEDED, *self.reads}
        return {name: value for name, value in environ.items() if name in named or name.startswith(_NEEDED_AS)}


class Replays:
    """Replays runs, one at a time for each key.

    Args:
        saver: where the runs are.
        code: by what they are executed again.
        seconds: how long one may take.
        longest: how many transitions a run may have.
        largest: how many bytes its states may have.
    """

    def __init__(
        self,
        saver: Checkpointer,
        code: Code,
        *,
        seconds: float = SECONDS,
        longest: int = LONGEST,
        largest: int = LARGEST,
    ) -> None:
        self._saver, self._code, self._seconds = saver, code, seconds
        self._longest, self._largest = longest, largest
        self._under_way: set[str] = set()

    async def verdict(self, row: dict[str, Any], *, key_id: str, **options: Any) -> dict[str, Any]:
        """Whether today's code goes the way that is on record: `state.report.Report` as plain data.

        Args:
            row: of the run, which the caller may read.
            key_id: who asks.
            options: `begin`, `until`, `clocks` of `replay_recording`.

        Raises:
            Refused: the run is too long, it took too long, or too many are under way.
            CallerMistake: it has nothing there to replay, or today's code does not know what made it.
        """
        run_id = row["run_id"]
        check_stretch(run_id, row["seq"], begin=options.get("begin") or 1, until=options.get("until"))
        if row["seq"] > self._longest:
            raise _too_much(run_id, f"It has {row['seq']} transitions; over HTTP, runs of up to {self._longest} are.")
        if (size := len(json.dumps(row["input"])) * row["seq"]) > self._largest:
            most = f"over HTTP, runs with up to {self._largest:,} are."
            raise _too_much(run_id, f"Its states hold its input {row['seq']} times, which is {size:,} bytes; {most}")
        with self._place(key_id):
            recording = await record_of(self._saver, run_id, row["tenant"])
            head = {
                "workflows": self._code.workflows,
                "policy": str(self._code.policy) if self._code.policy else None,
                "policies": str(self._code.policies) if self._code.policies else None,
                "seconds": math.ceil(self._seconds) + 1,
                "options": options,
            }
            said = "\n".join([json.dumps(head), *recording.lines()]).encode()
            return _report(run_id, await self._executed(run_id, said))

    async def _executed(self, run_id: str, said: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *_REPLAYER,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=self._code.environment(os.environ),
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer, _ = await process.communicate(said)
        except TimeoutError:
            raise _too_much(run_id, f"It took longer than {self._seconds:g} seconds.") from None
        finally:
            await _ended(process)
        return answer

    @contextmanager
    def _place(self, key_id: str) -> Iterator[None]:
        if key_id in self._under_way or len(self._under_way) >= AT_ONCE:
            whose = "one with this key" if key_id in self._under_way else f"{AT_ONCE} replays"
            raise Refused(
                429,
                "too-many-replays",
                "Too many replays",
                detail=f"There is {whose} under way." if key_id in self._under_way else f"{whose} are under way.",
                next="Ask again when it is answered.",
                headers={"Retry-After": "5"},
            )
        self._under_way.add(key_id)
        try:
            yield
        finally:
            self._under_way.remove(key_id)


def _report(run_id: str, answer: bytes) -> dict[str, Any]:
    if not answer:
        raise _too_much(run_id, "Its code ended the process that executed it.")
    said = json.loads(answer)
    if "refused" in said:
        raise getattr(errors, said["refused"], CallerMistake)(said["message"])
    found: dict[str, Any] = said["report"]
    return found


def _too_much(run_id: str, detail: str) -> Refused:
    return Refused(
        422,
        "replay-too-long",
        "This is not replayed over HTTP",
        detail=detail,
        next=f"Ask for less with `until`, or replay it where the code is: `gatepost replay {run_id}`",
    )


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
