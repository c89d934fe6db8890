"""`gatepost policy check` and `test`: whether policies fit the tools, and say what a table of cases expects.

Both are for a pipeline too: the exit code is the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Json, Options, known_policies
from gatepost.service.cli.exits import Exit, guarded

if TYPE_CHECKING:
    from gatepost.nodes.catalog import Catalog
    from gatepost.nodes.policy_check import Finding
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


@guarded
def check(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Sets to check. Default: those in force.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check policies against the tools of the workflows that are known here: typos, unknown tools, wrong types.

    Each finding has its file, line and column, and what would be right. Exit code 2 when there is one. Without FILE it
    says under which version each workflow is judged: the one that stands on approvals, and that `policy show` takes.

    Example: gatepost policy check policy.cedar
    """
    from gatepost.nodes.policy_check import check as checked
    from gatepost.nodes.policy_schema import schemas_of

    known, catalog = known_policies(context)
    findings: list[Finding] = []
    judging = [] if files else _judging(known, catalog)
    sets: list[dict[str, str]] = []
    for of, policy, tools in _to_check(context, files or [], catalog):
        fits = schemas_of(tools)
        findings += checked(policy, fits)
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


@guarded
def try_cases(
    context: typer.Context,
    tables: Annotated[list[Path], typer.Argument(metavar="FILE", help="Tables of cases.")],
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
        sets, catalog = known_policies(context, base=base)
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


def _to_check(context: typer.Context, files: list[Path], catalog: Catalog) -> list[tuple[str, Any, list[Any]]]:
    """What is to be checked: whose it is, the set, and the tools that it judges."""
    from gatepost.nodes.policy import Policy

    everything = [tool for flow in catalog.workflows for tool in catalog.tools(flow).values()]
    if files:
        return [("file", Policy.read(path), everything) for path in files]
    sets, _ = known_policies(context)
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


def _plain(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in ("source", "line", "column", "policy", "problem", "fix")}
