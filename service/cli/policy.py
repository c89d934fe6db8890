"""`gatepost policy`: check policy sets, explain what they say, try them on a table of cases."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Json, Limit, Options, named, opened, read_policy
from gatepost.service.cli.exits import EPILOG, Exit, guarded

if TYPE_CHECKING:
    from gatepost.nodes.catalog import Catalog
    from gatepost.nodes.policy_check import Finding
    from gatepost.nodes.policy_explain import Explanation
    from gatepost.nodes.policy_sets import PolicySets

TEST_HELP = """Try the policies on a table of cases. Exit code 4 when one goes otherwise, 2 when it cannot be read.

Example: gatepost policy test policy_cases.toml

A table is TOML, or the same as JSON:

\b
  # policy = "policy.cedar"    # beside the table; else the set of the command
  \\[\\[case]]
  name = "a read runs"
  tool = "docs_collect"
  args = { vendor = "acme" }
  expect = "run"               # or "ask", "forbid"
  # exactly these decided:
  policies = ["reads-run", "workflow:reads-of-the-review"]
  \\[\\[case]]
  name = "nobody decides on a request of their own"
  tool = "final_decision"
  tenant = "acme"
  principal = "eve"            # asked for the run
  decider = "eve"
  expect = "may not"           # or "may"

Also: workflow, step, origin, purpose, spent, roles, and time = 2026-01-05T19:30:00Z (UTC; a Monday at noon where a
case names none)."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="What runs unattended, what a person is asked about, what never runs: check the Cedar policies, ask them why, "
    "try them on cases. Nothing here changes anything.\n\n"
    "Example: [bold]gatepost policy explain docs_collect vendor=acme --origin model[/]",
)

Tool = Annotated[str | None, typer.Argument(metavar="[TOOL]", help="The tool.", show_default=False)]
FlowName = Annotated[str, typer.Option("--workflow", metavar="NAME", help="Where several workflows have such a tool.")]


@app.command("check", epilog=EPILOG)
@guarded
def check(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Sets to check. Default: those in force.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check policies against the tools of the workflows that are known here: typos, unknown tools, wrong types.

    Each finding has its file, line and column, and what would be right. Exit code 2 when there is one. Without FILE it
    says under which version each workflow is judged: the one that stands on approvals, and that `policy show` takes.

    Example: gatepost policy check policy.cedar
    """
    from gatepost.nodes.policy_schema import schemas_of

    known, catalog = _known(context)
    findings: list[Finding] = []
    judging = [] if files else _judging(known, catalog)
    sets: list[dict[str, str]] = []
    for of, policy, tools in _to_check(context, files or [], catalog):
        fits = schemas_of(tools)
        findings += _found(policy, fits)
        widening = [one["annotations"]["widens"] for one in policy.plain if "widens" in one.get("annotations", {})]
        sets.append({"of": of, "name": policy.name, "version": policy.version, "widens": "; ".join(map(str, widening))})
    if as_json:
        plain = [_plain(one) for one in findings]
        terminal.as_json({"ok": not findings, "sets": sets, "judging": judging, "findings": plain})
    else:
        for one in findings:
            terminal.say(str(one))
        for one_set in sets:
            wider = f", widens: {one_set['widens']}" if one_set["widens"] else ""
            terminal.note(f"{one_set['name']} ({one_set['of']}, version {one_set['version']}{wider})")
        for place in judging:
            of = f" of tenant {place['tenant']}" if place["tenant"] else ""
            terminal.note(f"workflow {place['workflow']}{of} is judged under version {place['version']}")
        terminal.note(f"{len(findings)} wrong" if findings else "fits the tools")
    if findings:
        raise typer.Exit(Exit.USAGE)


@app.command("explain", epilog=EPILOG)
@guarded
def explain(
    context: typer.Context,
    tool: Tool = None,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Its arguments.", show_default=False)
    ] = None,
    *,
    run_id: Annotated[str | None, typer.Option("--run", metavar="ID", help="Ask about a step of a run.")] = None,
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="Which step.")] = "",
    workflow: FlowName = "",
    origin: Annotated[str, typer.Option(metavar="WHO", help="Who wrote the plan: file, person or model.")] = "file",
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose run it would be.")] = "local",
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
        _explain_run(context, run_id, step or (tool or ""), as_json=as_json)
        return
    if tool is None:
        raise typer.BadParameter("name a tool, or a run's step: --run ID --step STEP.")
    from gatepost.nodes.policy_explain import explain as explained
    from gatepost.service.cli.values import read_pairs
    from gatepost.service.policy_cases import NOON, question, tool_called
    from gatepost.state.plan import origin_word

    sets, catalog = _known(context)
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


@app.command("test", epilog=EPILOG, help=TEST_HELP)
@guarded
def try_cases(
    context: typer.Context,
    tables: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tables of cases.")],
    *,
    as_json: Json = False,
) -> None:
    """Try the policies on a table of cases."""
    from gatepost.nodes.policy import Policy
    from gatepost.service.policy_cases import outcomes, read_table

    options: Options = context.obj
    found = []
    for path in tables:
        table = read_table(path)
        base = Policy.read(path.parent / table.policy) if table.policy and options.policy is None else None
        sets, catalog = _known(context, base=base)
        sets.require_sound({name: list(catalog.tools(name).values()) for name in catalog.workflows})
        found += [(path, one) for one in outcomes(table.case, sets, catalog)]
    failed = [one for _, one in found if not one.passed]
    if as_json:
        terminal.as_json({"ok": not failed, "cases": [{"table": str(path), **one.plain()} for path, one in found]})
    else:
        for path, one in found:
            if not one.passed:
                why = f" ({'; '.join(one.reasons)})" if one.reasons else ""
                terminal.say(terminal.one_line(f"{path}: {one.name}: expected {one.expected}, found {one.found}{why}"))
        terminal.note(f"{len(found) - len(failed)} of {len(found)} as expected")
    if failed:
        raise typer.Exit(Exit.NOT_SUCCEEDED)


@app.command("schema", epilog=EPILOG)
@guarded
def schema(context: typer.Context, tool: Tool = None, *, workflow: FlowName = "", as_json: Json = False) -> None:
    """What a policy can look at, and the type of each argument of a tool.

    Example: gatepost policy schema final_decision
    """
    from gatepost.nodes.policy_schema import WORDS, schema_of
    from gatepost.service.policy_cases import tool_called

    _, catalog = _known(context)
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


@app.command("list", epilog=EPILOG)
@guarded
def list_versions(context: typer.Context, *, limit: Limit = 50, as_json: Json = False) -> None:
    """The versions of the policy sets that have judged here, the latest first.

    Example: gatepost policy list
    """
    with opened(context) as desk:
        rows = desk.run(desk.books.policies.list(limit=limit))
    if as_json:
        terminal.as_json(rows)
        return
    terminal.table(
        ("version", "since", "sets"),
        [(row["version"], row["first_used"], ", ".join(f"{one['layer']} {one['name']}" for one in row["sets"]))
         for row in rows],
        empty="no run was moved here yet",
    )  # fmt: skip


@app.command("show", epilog=EPILOG)
@guarded
def show(
    context: typer.Context,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As it stands on an approval; may be abbreviated.")],
    *,
    as_json: Json = False,
) -> None:
    """The text of the sets of a version, as they were when they judged.

    Example: gatepost policy show 12a81b
    """
    with opened(context) as desk:
        row = desk.run(desk.books.policies.show(version))
    if as_json:
        terminal.as_json(row)
        return
    for one in row["sets"]:
        terminal.say(f"// {one['layer']}: {one['name']}, version {one['version']}")
        terminal.say(terminal.safe(one["text"]))


def _known(context: typer.Context, *, base: Any = None) -> tuple[PolicySets, Catalog]:
    """The sets and the workflows that are known here, not yet checked against each other."""
    from gatepost.graph.build import policy_sets
    from gatepost.nodes.catalog import Catalog
    from gatepost.service.catalog import find_workflows

    options: Options = context.obj
    found = find_workflows(options.workflows)
    for broken in found.broken:
        terminal.complain("warning", broken)
    catalog = Catalog(found.workflows)
    return policy_sets(catalog, base or read_policy(options.policy), options.policies), catalog


def _to_check(context: typer.Context, files: list[Path], catalog: Catalog) -> list[tuple[str, Any, list[Any]]]:
    """What is to be checked: whose it is, the set, and the tools that it judges."""
    from gatepost.nodes.policy import Policy

    everything = [tool for flow in catalog.workflows for tool in catalog.tools(flow).values()]
    if files:
        return [("file", Policy.read(path), everything) for path in files]
    sets, _ = _known(context)
    return [
        ("deployment", sets.base, everything),
        *((f"workflow {flow}", one, list(catalog.tools(flow).values())) for flow, one in sets.workflows.items()),
        *((f"tenant {tenant}", one, everything) for tenant, one in sets.tenants.items()),
    ]


def _judging(sets: PolicySets, catalog: Catalog) -> list[dict[str, str]]:
    """Under which version the runs of each workflow are judged; of tenants, those with a set of their own."""
    return [
        {"workflow": flow, "tenant": tenant, "version": sets.layers(workflow=flow, tenant=tenant).asked_under}
        for flow in catalog.workflows
        for tenant in ("", *sets.tenants)
    ]


def _found(policy: Any, tools: Any) -> list[Finding]:
    from gatepost.nodes.policy_check import check as checked

    return checked(policy, tools)


def _plain(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in ("source", "line", "column", "policy", "problem", "fix")}


def _explain_run(context: typer.Context, run_id: str, step: str, *, as_json: bool) -> None:
    from gatepost.service.policy_of_run import explained_step

    with opened(context) as desk:
        found = desk.run(explained_step(desk, run_id, step))
    if as_json:
        terminal.as_json({**found.explanation.plain(), "recorded": found.recorded})
        return
    for line in found.lines:
        terminal.say(terminal.one_line(line))
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
