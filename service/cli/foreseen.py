"""What a person sees beside a question: what a yes would set going, and what changed since it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gatepost.service import terminal
from gatepost.state.approval import ApprovalRequest

if TYPE_CHECKING:
    from gatepost.nodes.tool import AnyTool

_WIDEST = 40
_HEADS = ("fact", "was", "is", "matters")


def impact_lines(asked: ApprovalRequest, *, calls: bool = True) -> Iterator[str]:
    """The effects in order, one a line, and what they cost together; or would, in a run that makes calls."""
    if not asked.impact:
        return
    sets = "sets going" if calls else "would set going in a run that makes calls"
    yield "  what waits for the answer:" if asked.kind == "doubt" else f"  what a yes {sets}:"
    for number, effect in enumerate(asked.impact, 1):
        yield terminal.one_line(f"    {number}. {_named(effect)}: {'; '.join(_said(effect))}")
    if left_out := asked.impact[-1].get("more"):
        yield f"    … and {left_out} more after these"
    if len(asked.impact) > 1 and (total := _total(asked.impact)):
        yield f"  {total}"


def change_lines(asked: ApprovalRequest) -> Iterator[str]:
    """What changed since it was asked last, as a table."""
    if not asked.changes:
        return
    rows = [_HEADS, *map(_change, asked.changes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    since = f" ({asked.supersedes})" if asked.supersedes else ""
    yield terminal.one_line(f"  what it relies on changed since it was asked{since}:")
    for row in rows:
        yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def cost_line(asked: ApprovalRequest, tool: AnyTool | None, args: Mapping[str, Any]) -> str | None:
    """What an edited action costs, where that is something else than was asked."""
    before = asked.impact[0]["cost"] if asked.impact else None
    if tool is None or before is None or (now := tool.cost_of(args)) == before:
        return None
    return f"  costs {now} (asked: {before})"


def _change(change: Mapping[str, Any]) -> tuple[str, str, str, str]:
    place = terminal.one_line(f"{change.get('fact', '')}{change['at']}")
    return place, _short(change["was"]), _short(change["now"]), "no" if change.get("material") is False else "yes"


def _short(value: Any) -> str:
    text = terminal.one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _named(effect: Mapping[str, Any]) -> str:
    step, tool = effect["step"], effect["tool"]
    return f"{step} ({effect['effect']})" if step == tool else f"{step} by {tool} ({effect['effect']})"


def _said(effect: Mapping[str, Any]) -> Iterator[str]:
    if effect["pivot"]:
        yield "a pivot: nothing can undo it"
    elif effect["effect"] == "read":
        yield "changes nothing"
    else:
        yield f"{effect['undo']} undoes it" if effect["undo"] else "nothing undoes it"
    if effect["cost"] is None:
        yield "what it costs is not known yet"
    elif effect["cost"]:
        yield f"costs {effect['cost']}"
    if effect["conditional"]:
        yield "only if its condition holds"
    if effect["waiting"]:
        more = effect.get("waiting_more", 0)
        names = [*effect["waiting"], *([f"{more} more"] if more else [])]
        said = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        yield f"{said} {'waits' if len(names) == 1 else 'wait'} for it"


def _total(impact: Sequence[Mapping[str, Any]]) -> str:
    known = sum(effect["cost"] or 0 for effect in impact)
    open_ended = impact[-1].get("more") or any(effect["cost"] is None for effect in impact)
    if not known:
        return ""
    return f"together they cost {known}{' and what is not known yet' if open_ended else ''}"
