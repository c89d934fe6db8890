"""`gatepost policy explain` and `schema`: what policies say about a call, and what they can look at to say it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Json, known_policies, named, opened
from gatepost.service.cli.exits import guarded

if TYPE_CHECKING:
    from gatepost.nodes.policy_explain import Explanation

Tool = Annotated[str | None, typer.Argument(metavar="TOOL", help="The tool.", show_default=False)]
FlowName = Annotated[str, typer.Option("--workflow", metavar="NAME", help="Where several workflows have such a tool.")]


@guarded
def explain(
    context: typer.Context,
    tool: Tool = None,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Its arguments.", show_default=False)
    ] = None,
    *,
    run_id: Annotated[str | None, typer.Option("--run", metavar="ID", help="Ask about a step of a run.")] = None,
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="Which step.")] = "",
    workflow: FlowName = "",
    origin: Annotated[str, typer.Option(metavar="WHO", help="Who wrote the plan: file, person or model.")] = "file",
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose run it is, or would be.")] = "local",
    spent: Annotated[int, typer.Option(metavar="UNITS", help="What the run has spent before.")] = 0,
    at: Annotated[
        datetime | None, typer.Option("--at", metavar="TIME", help="When, in UTC. Default: a Monday at noon.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what the policy says, by which rules, what each unmet condition was, and what would change it.

    Example: gatepost policy explain docs_collect vendor=acme --origin model
    Example: gatepost policy explain --run run_4f --step final_decision
    """
    if run_id is not None:
        _explain_run(context, run_id, step or (tool or ""), tenant, as_json=as_json)
        return
    if tool is None:
        raise typer.BadParameter("name a tool, or a run's step: --run ID --step STEP.")
    from gatepost.nodes.policy_explain import explain as explained
    from gatepost.service.cli.values import read_pairs
    from gatepost.service.policy_cases import NOON, question, tool_called
    from gatepost.state.plan import origin_word

    sets, catalog = known_policies(context)
    flow, found = tool_called(tool, catalog, workflow=workflow)
    asked = question(
        found, flow, catalog, read_pairs(args or []), principal=named(context, None) or "somebody", tenant=tenant,
        step=step, origin=origin_word(origin), spent=spent, now=at or NOON,
    )  # fmt: skip
    answer = explained(sets.layers(workflow=flow, tenant=tenant), asked)
    if as_json:
        terminal.as_json(answer.plain())
    else:
        _show(answer)


@guarded
def schema(context: typer.Context, tool: Tool = None, *, workflow: FlowName = "", as_json: Json = False) -> None:
    """What a policy can look at, and the type of each argument of a tool.

    Example: gatepost policy schema final_decision
    """
    from gatepost.nodes.policy_schema import WORDS, schema_of
    from gatepost.service.policy_cases import tool_called

    _, catalog = known_policies(context)
    names = sorted({name for flow in catalog.workflows for name in catalog.tools(flow)}) if tool is None else [tool]
    found = [schema_of(tool_called(name, catalog, workflow=workflow)[1]) for name in names]
    if as_json:
        terminal.as_json({one.tool: one.plain for one in found})
        return
    rows: list[tuple[str, str, str]] = []
    for action, attributes in found[0].attributes().items() if found else ():
        rows += [(action, f"context.{name}", kind) for name, kind in attributes.items()]
    for one in found:
        rows += [(one.tool, f"context.args.{name}", kind) for name, kind in one.shown().items()]
    words = {f"context.{name}": ", ".join(listed) for name, listed in WORDS.items()}
    terminal.table(
        ("where", "attribute", "type"),
        [(where, name, f"{kind}: {words[name]}" if name in words else kind) for where, name, kind in rows],
        empty="no workflow is known here; name one with --workflows module:ATTRIBUTE",
    )


def _explain_run(context: typer.Context, run_id: str, step: str, tenant: str, *, as_json: bool) -> None:
    from gatepost.service.policy_of_run import explained_step

    with opened(context, tenant) as desk:
        found = desk.run(explained_step(desk, run_id, step))
    if as_json:
        terminal.as_json({**found.explanation.plain(), "recorded": found.recorded})
        return
    for line in found.lines:
        terminal.say(terminal.one_line(desk.retyped(line)))
    _show(found.explanation)


def _show(answer: Explanation) -> None:
    said = answer.judgement
    by = f" by {', '.join(said.policies)}" if said.policies else ""
    terminal.say(terminal.one_line(f"{said.verdict.value}{by}  (policy version {said.version})"))
    for reason in said.reasons:
        terminal.say(terminal.one_line(f"  {reason}"))
    for rule in answer.rules:
        mark = "satisfied" if rule.satisfied else "not satisfied"
        widens = f", widens: {rule.widens}" if rule.widens else ""
        terminal.say(
            terminal.one_line(f"{rule.effect} {rule.id}: {mark}  {rule.source}:{rule.line} ({rule.layer}{widens})")
        )
        if not rule.head:
            terminal.say("  its head is about another principal or step")
        for one in rule.conditions:
            held = {"yes": "holds", "no": "does not hold", "error": "cannot be evaluated"}[one.holds]
            actual = f"  [{one.actual}]" if one.actual else ""
            terminal.say(terminal.one_line(f"  line {one.line}: {one.text}: {held}{actual}"))
    for change in answer.changes:
        terminal.say(terminal.one_line(f"what would change it: {change}"))
