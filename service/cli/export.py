"""`gatepost export`: the record of a run for an audit or to mail, and the check that nobody has altered it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Desk, Tenant, opened
from gatepost.service.cli.exits import Exit, guarded
from gatepost.service.cli.recording import write_recording
from gatepost.state import chain
from gatepost.state.errors import CallerMistake
from gatepost.state.recording import is_head

_NO_FILE = Path("-")
T = TypeVar("T")


@guarded
def export(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The run; may be abbreviated.", show_default=False)
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the lines there instead of to stdout.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report of one page for people, to mail.")
    ] = None,
    tenant: Tenant = LOCAL,
    replayable: Annotated[
        bool, typer.Option("--replayable", help="A recorded history instead, for `gatepost replay --file`.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Check an exported file; needs no database.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="HASH", help="With --verify: the last hash that it must have.")
    ] = None,
) -> None:
    """Everything that happened to a run as JSON lines: who, what, when, from, to, why.

    Transitions, plans, steps, approvals, decisions, effects and artifacts in one order, for an audit or for jq.
    Each line holds the hash of the one before it: --verify names a line that was changed, left out or moved.

    Example: gatepost export run_4f --out run_4f.jsonl && gatepost export --verify run_4f.jsonl
    """
    if verify is not None:
        if run_id or out or html or replayable:
            raise CallerMistake("--verify looks at a file and nothing else: leave the run and the other options out.")
        _verify(verify, expect)
    elif expect is not None:
        raise CallerMistake("--expect is for --verify.")
    elif not (run_id or "").strip():
        raise CallerMistake("name the run: `gatepost export ID`. `gatepost run list` shows them.")
    else:
        with opened(context) as desk:
            found = desk.run(desk.books.runs.find(str(run_id), tenant))
            if html is not None and _saved(desk, html, partial(_report, desk, found, tenant=tenant)) is not None:
                terminal.hint(f"saved {html}: one file, which loads nothing from elsewhere")
            if replayable:
                if _saved(desk, out, partial(write_recording, desk, found, tenant=tenant)):
                    terminal.hint(f"saved {out}; replay it with: {desk.typed('replay', '--file', str(out))}")
            elif (out is not None or html is None) and (
                last := _saved(desk, out, partial(_write, desk, found, tenant=tenant))
            ):
                terminal.hint(f"saved {out}; keep its last hash elsewhere, and check with:")
                terminal.hint(f"  {desk.typed('export', '--verify', str(out), '--expect', last)}")


def _saved(desk: Desk, out: Path | None, write: Callable[[IO[str] | None], Coroutine[Any, Any, T]]) -> T | None:
    """Write a file, whole or not at all, and give what writing gave; None where it went to standard output."""
    if out is None or out == _NO_FILE:
        desk.run(write(None))
        return None
    if not out.name or out.is_dir():
        raise CallerMistake(f"{out} is a folder. Name a file in it.")
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            given = desk.run(write(file))
        unfinished.replace(out)
    except OSError as error:
        raise CallerMistake(f"{out} cannot be written ({error.strerror}). Name another file.") from None
    finally:
        with suppress(OSError):  # where its folder cannot be looked into, there is nothing of ours in it
            unfinished.unlink(missing_ok=True)
    return given


async def _write(desk: Desk, run: str, file: IO[str] | None, *, tenant: str) -> str:
    """Write the lines; the hash of the last."""
    from gatepost.checkpointing.export import export_lines

    line = ""
    async with aclosing(export_lines(desk.books.pools, run, tenant)) as lines:
        async for line in lines:
            (file or sys.stdout).write(line)
    found: str = chain.hash_of(line)
    return found


async def _report(desk: Desk, run: str, file: IO[str] | None, *, tenant: str) -> str:
    """Write the page for people; the run's id."""
    try:
        from gatepost.service.report.page import report
    except ModuleNotFoundError as error:
        raise CallerMistake(
            f"the report needs {error.name}, which is not installed. Install it: pip install 'gatepost[service]'."
        ) from None
    (file or sys.stdout).write(await report(desk.books, run, tenant))
    return run


def _is_recording(path: Path) -> bool:
    with path.open("rb") as lines:
        return is_head(next(lines, b""))


def _verify(path: Path, expect: str | None) -> None:
    try:
        with path.open("rb") as lines:
            found = chain.verify(lines)
    except OSError as error:
        raise CallerMistake(f"{path} cannot be read ({error.strerror}). Name the exported file.") from None
    except chain.Broken as broken:
        if _is_recording(path):
            raise CallerMistake(
                f"{path} is a recorded history (`--replayable`), which has no hashes to check. Replay it with "
                f"`gatepost replay --file {path}`; what --verify checks is written by `gatepost export ID --out FILE`."
            ) from None
        terminal.complain("altered", f"{path}, {broken}")
        raise typer.Exit(Exit.ALTERED) from None
    if expect is not None and expect.lower() != found.hash:
        terminal.complain("altered", f"{path} is whole, but it is another one: its last hash is {found.hash}")
        raise typer.Exit(Exit.ALTERED)
    terminal.say(f"{path}: {found.lines} lines of run {found.header['run']}, as they were written")
    terminal.say(f"last hash {found.hash}")
