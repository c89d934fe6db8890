"""Notices: what people are told about an approval, and in which words.

Invariant: a notice holds nothing that an argument holds. It says what is asked of whom until when, and how to answer;
whoever wants to know more looks at the approval, where it is asked who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from gatepost.state.approval import ApprovalRequest
from gatepost.state.values import printable

NoticeKind: TypeAlias = Literal["asked", "escalated", "expiring", "expired", "decided"]
NOTICE_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
LOCAL = "local"
_WORD = 100
"""Characters of a name that are told; the rest is looked up."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be said about one approval, as its rows stood when it was taken to be sent."""

    id: str
    """`ntc_…`; the same whenever it is sent again, so that a receiver can drop the repeat."""
    kind: NoticeKind
    tenant: str
    run: str
    workflow: str
    request: ApprovalRequest
    """With the level and the time limit that hold now."""
    level: int
    """Of the question when this was written."""
    status: str
    """Of the approval."""
    too_late: bool
    """Whether the time is up, whoever carries that out."""
    requested_by: str
    now: datetime
    """Database time when it was taken to be sent."""
    decided: str = ""
    """For `decided`: what, and by whom."""
    person: str = ""
    """Whom it goes to, where its address is one person's; only they may be given a link that answers."""

    @property
    def approval(self) -> str:
        """The approval's id."""
        return self.request.id

    @property
    def roles(self) -> tuple[str, ...]:
        """Who is asked; none means whoever the policy lets."""
        return self.request.terms.asked(self.request.level)

    @property
    def asks(self) -> bool:
        """Whether it asks for an answer, and does not tell of one."""
        return self.kind not in ("decided", "expired")

    def moot(self) -> str:
        """Why there is nothing to say any more; empty: there is."""
        if not self.asks:
            return ""
        if self.status != "open":
            return f"the question is {self.status}"
        if self.request.level != self.level:
            return "the question was passed on"
        return "the time is up" if self.kind == "expiring" and self.too_late else ""


def notice_in(row: Mapping[str, Any]) -> Notice:
    """A notice in its row, as `notice.claim` gives it."""
    request = ApprovalRequest.model_validate(row["request"])
    until: datetime | None = row["decide_by"]
    limit = None if until is None else until.isoformat()
    decided = f"{row['decision']} by {row['decided_by']}" if row["decided_by"] else ""
    return Notice(
        id=row["notice_id"],
        kind=row["kind"],
        tenant=row["tenant"],
        run=row["run_id"],
        workflow=row["workflow"],
        request=request.model_copy(update={"level": row["level_now"], "decide_by": limit}),
        level=row["level"],
        status=row["status"],
        too_late=row["too_late"],
        requested_by=row["requested_by"],
        now=row["now"],
        decided=decided,
    )


def title(notice: Notice) -> str:
    """One line."""
    what = f"{_word(notice.request.tool)} in {_word(notice.workflow)}"
    decided = f" ({_word(notice.decided)})" if notice.decided else ""
    return f"{_TITLES[notice.kind]}{decided}: {what}"


def body(notice: Notice, *, link: str | None = None) -> str:
    """What it is about, and how to answer.

    Args:
        notice: what is to be told.
        link: where it can be answered, or looked at.
    """
    request = notice.request
    what = f"{_ASKED[request.kind]} {_word(request.tool)} ({request.effect})"
    lines = [
        f"Step {_word(request.step)} of run {notice.run} ({_word(notice.workflow)}): {what}.",
        f"Requested by {_word(notice.requested_by)}, tenant {_word(notice.tenant)}.",
    ]
    if notice.kind == "decided":
        lines.append(f"It was answered: {_word(notice.decided)}.")
    elif notice.kind == "expired":
        lines.append("Nobody answered in time, which counts as a no.")
    else:
        lines.append(f"Asked: {_word(request.asked) if request.asked else 'whoever the policy lets answer'}.")
        lines += [f"Until: {_clock(request.decide_by)}."] if request.decide_by else []
    lines += ["", *_how(notice, link), "", f"Notice {notice.id}; if it comes twice, it is the same one."]
    return "\n".join(lines)


_TITLES: Mapping[NoticeKind, str] = {
    "asked": "An answer is needed",
    "escalated": "Nobody answered, so you are asked now",
    "expiring": "The time to answer is nearly up",
    "expired": "Nobody answered in time",
    "decided": "Answered",
}
_ASKED: Mapping[str, str] = {
    "action": "may it call",
    "doubt": "nobody saw how a call ended:",
    "failure": "a call failed:",
}


def _how(notice: Notice, link: str | None) -> list[str]:
    lines = [] if link is None else [f"{'Answer' if notice.asks else 'See'}: {link}"]
    if notice.tenant == LOCAL:
        return [*lines, f"At a terminal: gatepost approval show {notice.approval}"]
    return [*lines, f"Approval {notice.approval}."]  # a terminal reaches the tenant of its machine and no other


def _word(text: str) -> str:
    """A name as one short line; a model may have written it."""
    return printable(" ".join("".join(mark if mark.isprintable() else " " for mark in text).split()), limit=_WORD)


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M %Z}"
