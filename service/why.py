"""Why a run stands where it stands: who moves it next, in a sentence, and the command that helps.

Pure: it follows from the row of `Movers.why` and from nothing else, so `run why`, `run show` and the
doctor never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gatepost.state.recovery import STANDS, Mode
from gatepost.state.status import RunStatus

_SOON = timedelta(seconds=90)
_LATER = timedelta(minutes=90)


@dataclass(frozen=True, slots=True)
class Why:
    """Who moves a run next."""

    kind: str
    """`owner`, `queue`, `timer`, `approval`, `event`, `operator`, `nobody`; or `ended`."""
    sentence: str
    command: tuple[str, ...]
    """What to type next, without the program's name."""


def why(row: Mapping[str, Any]) -> Why:
    """Say who moves a run next."""
    run = row["run_id"]
    if row["finished_at"] is not None:
        recover = ("run", "recover", run, "--mode", Mode.RESUME)  # shows first what that would do
        helps = recover if row["status"] in STANDS[Mode.RESUME] else ("export", run)
        return Why("ended", f"{run} has ended: {row['status']}{_because(row['reason'])}.", helps)
    kind = row["kind"]
    match kind:
        case "owner":
            stands = (
                f"{run} is moved by {row['detail']}, whose lease runs until {_clock(row['until'], row)}{_last(row)}"
            )
            sentence = f"{stands}{_told(row)}."
            return Why(kind, sentence, ("history", run))
        case "queue":
            return _in_queue(row)
        case "timer":
            left = _length(row["until"] - row["now"])
            sentence = (
                f"{run} goes on at {_clock(row['until'], row)}, in {left}{_because(row['detail'])}{_unheard(row)}."
            )
            return Why(kind, sentence, ("run", "show", run) if row["movers"] else ("worker",))
        case "approval":
            first = row["detail"].partition(",")[0]
            limit = f" until {_clock(row['until'], row)}" if row["until"] else ""
            return Why(kind, f"{run} waits{limit} for a person to answer {row['detail']}.", ("approval", "show", first))
        case "event":
            return Why(kind, f"{run} waits for something outside{_because(row['detail'])}.", ("run", "show", run))
        case "operator":
            sentence = f"{run} is {row['status']}, and only an operator moves it{_because(row['detail'])}."
            return Why(kind, sentence, ("run", "release", run))
        case _:
            sentence = (
                f"nobody will ever move {run}: it is {row['status']}{_because(row['reason'])}. Please report this"
            )
            return Why("nobody", f"{sentence}; going on with it by hand may help.", ("run", "resume", run))


def _in_queue(row: Mapping[str, Any]) -> Why:
    run = row["run_id"]
    if row["owner"] is not None:
        stands = f"was left behind by {row['owner']}, whose lease ran out at {_clock(row['lease_expires_at'], row)}"
    elif row["status"] == RunStatus.BLOCKED:
        stands = f"is blocked, but {row['detail']}"
    else:
        stands = f"is queued{_because(row['reason'])}"
    before = f" with {row['ahead']} before it" if row["ahead"] else ""
    taken = f"{before}; any worker that knows the workflow {row['workflow']} may take it"
    sentence = f"{run} {stands}{taken}{_unheard(row)}.{_tried(row)}"
    return Why("queue", sentence, ("run", "show", run) if row["movers"] else ("run", "resume", run))


def _tried(row: Mapping[str, Any]) -> str:
    if not row["setbacks"]:
        return ""
    trouble = f"the last one failed: {row['trouble']}" if row["trouble"] else "the last one died without a word"
    return f" It has been tried {row['setbacks']} times at transition {row['seq']}; {trouble}."


def _unheard(row: Mapping[str, Any]) -> str:
    listening = row["movers"]
    if listening == 0:
        return ", but no worker is listening"
    return f" ({listening} {'is' if listening == 1 else 'are'} listening)"


def _last(row: Mapping[str, Any]) -> str:
    if row["moved_at"] is None:
        return ""
    return f"; it last ran {'+'.join(row['moved_by'])} {_length(row['now'] - row['moved_at'])} ago"


def _told(row: Mapping[str, Any]) -> str:
    return f"; {row['ordered_by']} told it to {row['ordered']} at its next superstep" if row["ordered"] else ""


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _clock(moment: datetime, row: Mapping[str, Any]) -> str:
    """A time of today, or of another day."""
    then, now = moment.astimezone(UTC), row["now"].astimezone(UTC)
    return f"{then:%H:%M:%S} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S} UTC"


def _length(length: timedelta) -> str:
    """A length of time, as people say it."""
    if length < _SOON:
        return f"{max(0.0, length.total_seconds()):.0f} s"
    if length < _LATER:
        return f"{length.total_seconds() / 60:.0f} min"
    if length < timedelta(days=2):
        return f"{length.total_seconds() / 3600:.0f} h"
    return f"{length.days} days"
