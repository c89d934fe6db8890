"""A page of history: the transitions of a run with everything that hangs on them, in two round trips.

Read-only, by keyset, and bounded by the page: paging through a long run costs no more memory than one page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.errors import InvalidValue
from gatepost.state.transition import Cause, StepMove, Transition

LARGEST = 1_000
"""Transitions of one page."""
_END = 2**62
_ATTACHED: dict[str, LiteralString] = {
    "steps": query("page.steps"),
    "steps_before": query("page.steps_before"),
    "effects": query("page.effects"),
    "approvals": query("page.approvals"),
    "orders": query("page.orders"),
    "made": query("page.made"),
}
_EVER = datetime(1, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]


async def read_page(
    pools: Pools, run_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[Transition]:
    """A page of transitions, in order.

    Args:
        pools: connections.
        run_id: which run.
        before: the newest ones before this number; None: the newest there are.
        after: instead, the first ones after this number.
        limit: at most so many, up to 1,000.

    Raises:
        InvalidValue: both `before` and `after`, or a limit that is none.
    """
    if before is not None and after is not None:
        raise InvalidValue("a page is either before or after a transition. Pass one of the two.")
    if not 1 <= limit <= LARGEST:
        raise InvalidValue(f"a page holds 1 to {LARGEST} transitions, not {limit}. Ask for several pages.")
    statement = query("page.newest") if after is None else query("page.next")
    async with pools.connection() as connection:
        asked = {"run_id": run_id, "before": _END if before is None else before, "after": after, "limit": limit}
        rows = await (await connection.execute(statement, asked)).fetchall()
    earlier, rows = _split(rows, after=after, limit=limit)
    if not rows:
        return []
    return _joined(earlier, rows, await _attached(pools, run_id, earlier, rows))


def _split(rows: list[dict[str, Any]], *, after: int | None, limit: int) -> tuple[Row | None, list[dict[str, Any]]]:
    """The transition before the page, and the page."""
    if after is None:
        return (rows[0], rows[1:]) if len(rows) > limit else (None, rows)
    if rows and rows[0]["seq"] == after:
        return rows[0], rows[1:]
    return None, rows[:limit]


async def _attached(pools: Pools, run_id: str, earlier: Row | None, rows: Sequence[Row]) -> dict[str, list[Row]]:
    bounds = {
        "run_id": run_id,
        "after": rows[0]["seq"] - 1,
        "until": rows[-1]["seq"],
        "since": earlier["at"] if earlier else _EVER,
        "at": rows[-1]["at"],
    }
    async with pools.batch() as connection:
        cursors = [await connection.execute(statement, bounds) for statement in _ATTACHED.values()]
        return {name: list(await one.fetchall()) for name, one in zip(_ATTACHED, cursors, strict=True)}


def _joined(earlier: Row | None, rows: Sequence[Row], found: Mapping[str, list[Row]]) -> list[Transition]:
    moments = [row["at"] for row in rows]
    effects = _by_moment(found["effects"], "intended_at", moments, rows)
    orders = _by_moment(found["orders"], "at", moments, rows)
    moves = _moves(found["steps"], found["steps_before"])
    waking = {row["step"]: row["wake_at"] for row in found["steps_before"]}
    page: list[Transition] = []
    for row in rows:
        seq = row["seq"]
        answered = [one for one in found["approvals"] if one["taken_seq"] == seq]
        told = [one for one in found["orders"] if one["taken_seq"] == seq]
        began = _began(row, earlier, answered, [_moment(waking.get(move.step)) for move in moves.get(seq, ())])
        page.append(
            Transition(
                run_id=row["run_id"],
                seq=seq,
                at=row["at"],
                nodes=tuple(row["nodes"]),
                next=tuple(row["next"]),
                was=earlier["status"] if earlier else "queued",
                status=row["status"],
                reason=row["reason"],
                source=row["source"],
                actor=row["actor"],
                cause=cause_of(row, earlier, answered, told),
                epoch=row["epoch"],
                seconds=_seconds(row["at"] - began),
                waited=_seconds(began - earlier["at"]) if earlier else 0.0,
                checkpoint_id=row["checkpoint_id"],
                channels=tuple(name for name in row["channels"] or () if not name.startswith(("branch:", "__"))),
                steps=tuple(moves.get(seq, ())),
                effects=tuple(effects.get(seq, ())),
                approvals=tuple(_asked(found["approvals"], seq)),
                orders=tuple(_without(one, "taken_seq") for one in orders.get(seq, ())),
                made=tuple(_without(one, "seq") for one in found["made"] if one["seq"] == seq),
            )
        )
        waking.update({one["step"]: one["wake_at"] for one in found["steps"] if one["seq"] == seq})
        earlier = row
    return page


def cause_of(row: Row, earlier: Row | None, answered: Sequence[Row], told: Sequence[Row]) -> Cause:
    """Who or what made a transition happen.

    Args:
        row: the transition.
        earlier: the one before it.
        answered: the approvals whose answers it took.
        told: the operators' instructions that it took.
    """
    actor = row["actor"]
    if earlier is None:
        return Cause("start", actor)
    if row["source"] == "operator":
        return Cause("operator", actor, row["reason"])
    if told:
        return Cause("operator", told[0]["actor"], told[0]["kind"])
    if answers := [(one, said) for one in answered for said in one["decisions"]]:
        why = ", ".join(f"{said['type']} {one['approval']} ({said['channel']})" for one, said in answers)
        return Cause("person", ", ".join(dict.fromkeys(said["by"] for _, said in answers)), why)
    if earlier["status"] == "waiting":
        return Cause("timer", actor, earlier["reason"])
    if row["epoch"] != earlier["epoch"] and earlier["source"] != "fork":  # nobody owned it when it was forked
        return Cause("takeover", actor, f"epoch {row['epoch']} after {earlier['epoch']}")
    return Cause("owner", actor)


def _began(row: Row, earlier: Row | None, answered: Iterable[Row], wakings: Iterable[datetime | None]) -> datetime:
    """When it could begin: after the one before, or after the answer or the time that it waited for."""
    since: datetime = earlier["at"] if earlier else row["at"]
    ends: list[datetime] = []
    if earlier is not None and earlier["status"] == "blocked":
        ends = [found for one in answered for said in one["decisions"] if (found := _moment(said["at"]))]
    elif earlier is not None and earlier["status"] == "waiting":
        ends = [found for found in wakings if found is not None]
    committed: datetime = row["at"]
    return min(max([since, *ends]), committed)


def _moves(rows: Iterable[Row], before: Iterable[Row]) -> dict[int, list[StepMove]]:
    stood = {row["step"]: row["status"] for row in before}
    found: dict[int, list[StepMove]] = {}
    for row in rows:
        data = _without(row, "seq", "at", "to", "wake_at", "policies")
        move = StepMove(
            was=stood.get(row["step"], "pending"),
            to=row["to"],
            policies=tuple(row["policies"]),
            **data,
        )
        found.setdefault(row["seq"], []).append(move)
        stood[row["step"]] = row["to"]
    return found


def _asked(approvals: Iterable[Row], seq: int) -> Iterable[Row]:
    for one in approvals:
        for what, when in (("opened", one["opened_seq"]), ("answered", one["taken_seq"])):
            if when == seq:
                said = one["decisions"] if what == "answered" else []
                yield {**_without(one, "opened_seq", "taken_seq"), "what": what, "decisions": said}


def _by_moment(
    things: Iterable[Row], column: str, moments: Sequence[datetime], rows: Sequence[Row]
) -> dict[int, list[Row]]:
    """Each thing with the first transition that was committed at its moment or later."""
    found: dict[int, list[Row]] = {}
    for thing in things:
        found.setdefault(rows[bisect_left(moments, thing[column])]["seq"], []).append(thing)
    return found


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _seconds(length: timedelta) -> float:
    return round(max(0.0, length.total_seconds()), 6)


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
