"""`gatepost replay`: a run executed again against its own record, and the cause of the first difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Json, Options, Tenant, opened, read_policy
from gatepost.service.cli.exits import Exit, guarded
from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.state.report import Report

_SHOWN = 12
"""Differences of one transition that are printed; all of them are in the JSON."""


@guarded
def replay(
    context: typer.Context,
    run_id: Annotated[str | None, typer.Argument(metavar="ID", help="The run; may be abbreviated.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="A recorded history; needs no database.")] = None,
    all_unfinished: Annotated[
        bool, typer.Option("--all-unfinished", help="Every run that has not ended: what a deploy would break.")
    ] = False,
    begin: Annotated[int, typer.Option("--from", min=1, help="The first transition to make again.")] = 1,
    until: Annotated[int | None, typer.Option(min=1, help="The last transition to compare.")] = None,
    brake: Annotated[
        str | None, typer.Option("--break", metavar="NODE", help="Stop before this node runs, and show the state.")
    ] = None,
    tenant: Tenant = LOCAL,
    as_json: Json = False,
) -> None:
    """Execute a run again, by the code that is installed now, and compare it with its record.

    Nothing is called: no tool, no model, no provider. Planner, gate, routing and result types are executed with the
    recorded answers, results, decisions and times. Exit code 0: identical. 8: it goes another way; the first
    difference and its cause are printed, and whatever comes after it follows from it.

    Example: gatepost replay run_4f     before a deploy: gatepost replay --all-unfinished
    """
    if sum((run_id is not None, file is not None, all_unfinished)) != 1:
        raise CallerMistake("say what to replay: one of ID, --file FILE or --all-unfinished.")
    options = {"begin": begin, "until": until, "brake": brake}
    if all_unfinished:
        if options != {"begin": 1, "until": None, "brake": None}:
            raise CallerMistake("--from, --until and --break are for one run. With --all-unfinished leave them out.")
        reports = _every(context, tenant)
    else:
        reports = [
            _from_file(context, file, options) if file else _from_database(context, str(run_id), options, tenant)
        ]
    if as_json:
        plain = [report.plain() for report in reports]
        terminal.as_json(plain if all_unfinished else plain[0])
    else:
        _tell(reports, every=all_unfinished)
    if not all(report.identical for report in reports):
        raise typer.Exit(Exit.DIVERGED)


def _from_database(context: typer.Context, prefix: str, options: dict[str, Any], tenant: str) -> Report:
    from gatepost.checkpointing.recordings import record_of
    from gatepost.graph.timetravel import areplay

    with opened(context, tenant) as desk:
        run_id = desk.run(desk.books.runs.find(prefix, tenant))
        recording = desk.run(record_of(desk.checkpointer, run_id, tenant))
        desk.knows(recording.run)
        return desk.run(areplay(recording, desk.graph, whole_process=True, **options))


def _from_file(context: typer.Context, path: Path, options: dict[str, Any]) -> Report:
    from gatepost.graph.timetravel import replay as replayed
    from gatepost.service.catalog import find_workflows

    found = find_workflows((context.obj or _NO_OPTIONS).workflows)
    for broken in found.broken:
        terminal.complain("warning", broken)
    policy = read_policy((context.obj or _NO_OPTIONS).policy)
    return replayed(path, found.workflows, policy=policy, whole_process=True, **options)


def _every(context: typer.Context, tenant: str) -> list[Report]:
    from gatepost.graph.timetravel import areplay_unfinished

    with opened(context, tenant) as desk:
        return desk.run(areplay_unfinished(desk.graph, context=desk.acting(None)))


def _tell(reports: list[Report], *, every: bool) -> None:
    for report in reports:
        for warning in report.warnings:
            terminal.hint(f"{report.run_id}: {warning}")
        for line in lines_of(report):
            terminal.say(line)
    if every:
        broken = sum(not report.identical for report in reports)
        runs = "1 unfinished run" if len(reports) == 1 else f"{len(reports)} unfinished runs"
        terminal.hint(f"{runs}; {broken} would go another way" if reports else "no unfinished runs")


def lines_of(report: Report) -> list[str]:
    """A report for a person."""
    if report.divergence is None:
        if report.stopped_at is not None:
            return [
                f"stopped before transition {report.stopped_at} of {report.run_id}, the same as recorded so far",
                terminal.json_text(report.state, indent=2),
            ]
        return [f"identical: {report.run_id}, {report.transitions} transitions of {report.workflow}"]
    found = report.divergence
    nodes = "+".join(found.nodes) or "after the end of the record"
    lines = [
        f"diverged: {report.run_id}, at transition {found.seq} of {report.last} ({nodes})",
        f"  cause: {found.cause}",
        f"  why: {terminal.one_line(found.why)}",
    ]
    for item in found.differences[:_SHOWN]:
        lines += [
            f"  {terminal.one_line(item.path)}",
            f"    recorded: {_short(item.recorded)}",
            f"    replayed: {_short(item.replayed)}",
        ]
    if len(found.differences) > _SHOWN:
        lines.append(f"  … and {len(found.differences) - _SHOWN} more (--json)")
    if report.consequences:
        first, last = report.consequences[0], report.consequences[-1]
        lines.append(f"  consequence: transitions {first} to {last} follow from it and are not compared")
    return lines


def _short(value: object) -> str:
    text = terminal.one_line(value if isinstance(value, str) else terminal.json_text(value))
    return text if len(text) <= 200 else f"{text[:197]}…"  # noqa: PLR2004 (a line or two on a screen)


_NO_OPTIONS = Options(database=None, workflows=(), policy=None, policies=None, principal=None, no_input=True)
