"""Transitions told to a person: one line for each, and a line for each thing that hangs on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gatepost.state.transition import Transition

_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400
_CLOSE = 2
"""Up to twice a unit, the smaller one says more."""
KEY_LENGTH = 12
"""Characters of an effect's key that tell it from others."""


def lasted(seconds: float) -> str:
    """A length of time in the unit that says most: `34 ms`, `1.2 s`, `48 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _CLOSE * _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _CLOSE * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < _CLOSE * _DAY else f"{seconds / _DAY:.0f} days"


def headline(transition: Transition) -> str:
    """What ran, how long, and who or what made it: `executor 1.2 s · person alice: approve apr_1a (cli)`."""
    waited = f" after a wait of {lasted(transition.waited)}" if transition.waited else ""
    status = "" if transition.was == transition.status else f" · {transition.was} → {transition.status}"
    cause = "" if transition.cause.kind == "owner" else f" · {transition.cause}"
    return f"{'+'.join(transition.nodes) or transition.source} {lasted(transition.seconds)}{waited}{cause}{status}"


def details(transition: Transition) -> Iterator[tuple[str, str]]:
    """What changed and what hangs on it, as `(kind, line)`."""
    for move in transition.steps:
        why = f"{_in_brackets(move.label)}{_because(move.reason or (move.failure or {}).get('message', ''))}"
        yield "step", f"{move.step}: {move.was} → {move.to}{why}"
    for effect in transition.effects:
        yield "effect", _effect(effect)
    for approval in transition.approvals:
        yield "approval", _approval(approval)
    for order in transition.orders:
        yield "order", f"{order['kind']} by {order['actor']}{_because(order['reason'])}"
    for thing in transition.made:
        yield thing["kind"], f"{thing['name']}{_because(thing['detail'])}"


def _effect(effect: Mapping[str, Any]) -> str:
    undo = "undo of " if effect["purpose"] == "compensate" else ""
    tries = f" after {effect['attempts']} attempts" if effect["attempts"] > 1 else ""
    under = f" under {effect['approval']}" if effect["approval"] else ""
    return f"{undo}{effect['step']}: {effect['tool']} {effect['state']}{tries}{under} ({effect['key'][:KEY_LENGTH]})"


def _approval(approval: Mapping[str, Any]) -> str:
    said = "; ".join(map(_said, approval["decisions"]))
    return f"{approval['approval']} {approval['what']} for {approval['step']}" + (f": {said}" if said else "")


def _said(one: Mapping[str, Any]) -> str:
    who = f"{one['by']}{_instead_of(one['on_behalf_of'])}"
    return f"{one['type']} by {who} ({one['channel']}, {one['authenticated']}){_because(one['comment'])}"


def _instead_of(absent: str) -> str:
    return f" for {absent}" if absent else ""


def _in_brackets(text: str) -> str:
    return f" [{text}]" if text else ""


def _because(text: str) -> str:
    return f" ({text})" if text else ""
