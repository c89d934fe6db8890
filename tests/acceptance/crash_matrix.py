"""The crash matrix as a table: where a run was killed, and what became of it, one column for each kind of tool.

Pure: what the processes reported goes in, Markdown comes out. A row names the instants that it stands for, so
that an instant which nobody has thought of is missed by no row and noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

KINDS = ("retry", "lookup", "transaction", "ask")
TITLES = {
    "retry": "`retry`: the provider dedupes",
    "lookup": "`lookup`: it can be asked",
    "transaction": "`transaction`: SQL here",
    "ask": "`ask`: neither",
}
ONCE, PERSON, TWICE, RACE, NONE = "once", "a person was asked", "**twice**", "once or **twice**", "–"

OURS: Mapping[str, str] = {
    "before anything is committed but the run itself": r"lease\.taken|commit\..*\.(input|START|planner)",
    "around the gate's first judgement": r"commit\..*\.policy_gate|lease\.left",
    "before a person's yes is committed": r"decision\.before",
    "after it, before the run goes on": r"decision\.after|lease\.taken:2",
    "before and after the key is minted": r"commit\..*\.(approval|policy_gate:2)",
    "before the intent is committed": r"intent\.before",
    "after the intent, before the call": r"intent\.after|call\.before",
    "in the call, before the provider acts": r"provider\.before",
    "in the call, after the provider has acted": r"provider\.after",
    "the answer is here, and nothing is recorded": r"call\.after",
    "before the effect's own transaction commits": r"transaction\.before",
    "after the effect's own transaction": r"transaction\.after",
    "before the result is committed": r"commit\.before\.executor",
    "after the result is committed": r"commit\.after\.executor",
    "in the check that fails, and what follows": r"call\.before:2|call\.failed|commit\..*\.(executor:2|policy_gate:3)",
    "before the intent to undo": r"undo\.intent\.before",
    "after the intent to undo, before the call": r"undo\.intent\.after|undo\.call\.before",
    "in the undo, before the provider acts": r"provider\.before:2",
    "in the undo, after the provider has acted": r"provider\.after:2",
    "the undo is answered, and nothing is recorded": r"undo\.call\.after",
    "before the undo's own transaction commits": r"undo\.transaction\.before",
    "after the undo's own transaction": r"undo\.transaction\.after",
    "before the undo is committed": r"commit\.before\.compensator",
    "after the undo is committed": r"commit\.after\.compensator",
    "on the way to the end, and at the end": r"commit\..*\.(policy_gate:[45]|compensator:2|finalizer)|lease\.left:2",
}
STOCK: Mapping[str, str] = {
    "before the node that asks a person": r"put\..*\.input(:2)?|node\.before\.approval",
    "after the person's yes": r"node\.before\.approval:2|node\.after\.approval|put\..*\.approval",
    "in the node, before the call": r"node\.before\.charge",
    "in the call, before the provider acts": r"provider\.before",
    "in the call, after the provider has acted": r"provider\.after",
    "the answer is here, and nothing is recorded": r"node\.after\.charge",
    "before the checkpoint": r"put\.before\.charge",
    "after the checkpoint": r"put\.after\.charge",
    "in the check": r".*\.check",
    "in the undo's node, before the call": r"node\.before\.refund",
    "in the undo, before the provider acts": r"provider\.before:2",
    "in the undo, after the provider has acted": r"provider\.after:2",
    "the undo is answered, and nothing is recorded": r"node\.after\.refund",
    "before the undo's checkpoint": r"put\.before\.refund",
    "after the undo's checkpoint": r"put\.after\.refund",
}
RACES = ("put.before.charge", "put.before.refund")
"""LangGraph writes what a node returned in the background: whether it is there already is a matter of luck."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one run that was killed."""

    kind: str
    instant: str
    verdict: str
    """One of the words of a cell."""


def table(rows: Mapping[str, str], fates: Iterable[Fate]) -> str:
    """The table of some fates.

    Raises:
        AssertionError: an instant belongs to no row or to several, or the runs of one cell fared differently.
    """
    found: dict[tuple[str, str], list[Fate]] = {}
    for fate in fates:
        found.setdefault((_row(rows, fate.instant), fate.kind), []).append(fate)
    lines = [f"| killed | {' | '.join(TITLES[kind] for kind in KINDS)} |", "| --- |" + " --- |" * len(KINDS)]
    lines += [f"| {row} | {' | '.join(_cell(row, found.get((row, kind), [])) for kind in KINDS)} |" for row in rows]
    totals = (_total([fate for (_, of), several in found.items() if of == kind for fate in several]) for kind in KINDS)
    return "\n".join([*lines, f"| **all of it** | {' | '.join(totals)} |"])


def _row(rows: Mapping[str, str], instant: str) -> str:
    fitting = [row for row, pattern in rows.items() if re.fullmatch(pattern, instant)]
    assert len(fitting) == 1, f"{instant} belongs to {fitting or 'no row'}"
    return fitting[0]


def _cell(row: str, fates: Sequence[Fate]) -> str:
    if not fates:
        return NONE
    verdicts = {fate.verdict for fate in fates}
    assert len(verdicts) == 1, f"{row}: {[(fate.instant, fate.verdict) for fate in fates]}"
    return f"{verdicts.pop()}" + (f" ({len(fates)} instants)" if len(fates) > 1 else "")


def _total(fates: Sequence[Fate]) -> str:
    def count(verdict: str) -> int:
        return sum(fate.verdict == verdict for fate in fates)

    said = [f"{count(ONCE)} of {len(fates)} once, by itself"]
    said += [f"{count(PERSON)} by a person's word"] if count(PERSON) else []
    said += [f"**{count(TWICE)} twice**"] if count(TWICE) else ["0 twice"]
    said += [f"{count(RACE)} by luck"] if count(RACE) else []
    return ", ".join(said)


def between(text: str, name: str, replace: Callable[[str], str]) -> str:
    """A text with what stands between two markers replaced."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    old, _, after = rest.partition(end)
    return before + begin + replace(old) + end + after
