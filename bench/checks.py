"""What has to be true of the numbers, as ratios in one run and as exact counts.

A line about a row that is not here fails: an unmeasured promise is no promise. Where nobody measured so many runs at
once (`--at`), there is no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Result, Series, ratio
from bench.rows import DBOS, EFFECT_AT_BOUNDARIES, EFFECT_GATE, EFFECT_JUDGED, STOCK, TRANSITION

ONE, MANY = 1, 32
"""Runs at once that something is promised of."""
EXACT = 0.005
"""Counts are exact; this is for the division only."""
VISIT = 0.02
"""Of the gate: it visits every seventeenth step, and one visit more or less may lie between two marks."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    what: str
    limit: str
    found: str
    passed: bool


def checks(result: Result) -> Iterator[Check]:
    """Every line, in order."""
    if ONE in result.levels:
        yield _time(result, "a transition, one run", TRANSITION.name, STOCK.name, ONE, most=1.0)
        what = "an effect step judged beforehand, one run"
        yield _judged(result, _time(result, what, EFFECT_JUDGED.name, STOCK.name, ONE, most=1.3), ONE)
        yield _time(result, "an effect step through the gate, one run", EFFECT_GATE.name, STOCK.name, ONE, most=1.8)
        yield _time(result, "an effect step, one run", EFFECT_JUDGED.name, DBOS.name, ONE, most=0.7)
    if MANY in result.levels:
        steps = f"effect steps a second, {MANY} at once"
        yield _rate(result, steps, EFFECT_JUDGED.name, STOCK.name, MANY, least=1.3)
        yield _rate(result, steps, EFFECT_JUDGED.name, DBOS.name, MANY, least=3.0)
        bare = f"{steps}, checkpoints at boundaries"  # a DBOS step has no checkpoint either
        yield _rate(result, bare, EFFECT_AT_BOUNDARIES, DBOS.name, MANY, least=3.0)
    for runs in result.levels:
        yield _commits(result, f"commits of a superstep, {runs} at once", TRANSITION.name, runs, most=1.0)
        yield _judged(result, _effect_commits(result, runs), runs)


def promises(result: Result) -> str:
    """Every line as a Markdown table."""
    head = ["| | | promised | measured |", "| --- | --- | --- | --- |"]
    lines = [
        f"| {'kept' if line.passed else 'not kept'} | {line.what} | {line.limit} | {line.found} |"
        for line in checks(result)
    ]
    return f"{result.disk}\n\n" + "\n".join(head + lines) + "\n"


def _time(result: Result, what: str, row: str, than: str, runs: int, *, most: float) -> Check:
    limit = f"at most {most} × {than}"
    return _compared(result, what, row, than, runs, limit, lambda mine, theirs: (ratio(mine, theirs), most, True))


def _rate(result: Result, what: str, row: str, than: str, runs: int, *, least: float) -> Check:
    limit = f"at least {least} × {than}"
    return _compared(result, what, row, than, runs, limit, lambda mine, theirs: (1 / ratio(mine, theirs), least, False))


def _compared(
    result: Result,
    what: str,
    row: str,
    than: str,
    runs: int,
    limit: str,
    judge: Callable[[Series, Series], tuple[float, float, bool]],
) -> Check:
    mine, theirs = result.at(row, runs), result.at(than, runs)
    if mine is None or theirs is None:
        return Check(what, limit, f"{row if mine is None else than} was not measured", passed=False)
    factor, bound, at_most = judge(mine, theirs)
    found = f"{factor:.2f} ({mine.ms:.2f} ms, {mine.rate:.0f}/s; {than} {theirs.ms:.2f} ms, {theirs.rate:.0f}/s)"
    return Check(what, limit, found, passed=factor <= bound if at_most else factor >= bound)


def _commits(result: Result, what: str, row: str, runs: int, *, most: float) -> Check:
    series = result.at(row, runs)
    if series is None:
        return Check(what, f"at most {most}", f"{row} was not measured", passed=False)
    return Check(what, f"at most {most}", f"{series.commits:.3f}", passed=series.commits <= most + EXACT)


def _effect_commits(result: Result, runs: int) -> Check:
    """The gate's own supersteps are counted apart: one for each sixteen steps that it judges."""
    what, limit = f"commits of an effect step judged beforehand, {runs} at once", "at most 2.0, the gate's apart"
    series = result.at(EFFECT_JUDGED.name, runs)
    if series is None:
        return Check(what, limit, f"{EFFECT_JUDGED.name} was not measured", passed=False)
    gate = (series.transitions or 1.0) - 1
    found = f"{series.commits:.3f}, of them {gate:.3f} the gate's"
    return Check(what, limit, found, passed=series.commits - gate <= 2.0 + VISIT)


def _judged(result: Result, check: Check, runs: int) -> Check:
    """A step that passes the gate in a superstep of its own was not judged beforehand."""
    series = result.at(EFFECT_JUDGED.name, runs)
    if series is None or series.transitions is None or series.transitions < 1.5:
        return check
    return Check(
        check.what,
        check.limit,
        f"{check.found}: {series.transitions:.1f} supersteps, not judged beforehand",
        passed=False,
    )
