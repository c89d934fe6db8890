"""Worker processes fight for the same runs, while they are stopped past their leases and woken, killed, cut off from
the database, and one of them has a clock five seconds off.

Afterwards the rows say that one owner at a time moved each run, that no transition was lost and none made twice, and
the provider's own books that each step was one effect. `GATEPOST_FIGHT_SECONDS=60` fights for a minute, and
`GATEPOST_FIGHT_SEED` repeats a fight's dice (what the processes make of them, nobody can repeat).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from typing import Self

import pytest
from tests.acceptance.fleet import Fleet, Hand
from tests.acceptance.processes import wait_until

from gatepost import Decision

FIGHT_SECONDS = float(os.environ.get("GATEPOST_FIGHT_SECONDS", "8"))
SEED = int(os.environ.get("GATEPOST_FIGHT_SEED", "7"))
STEPS, PACE = int(FIGHT_SECONDS * 1.5), "6"
LEASE_SECONDS = 2.0
"""The heart gives a beat a third of it: less than a busy disk may take for one flush moves nothing."""
GRINDING, PRESSING, FIGHTERS = 14, 6, 5
SETTLED_SECONDS = 150.0
"""Longer than the minute for which a run is left alone after many failures in a row (`gatepost.let_go`)."""
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name IN ('fighter', 'gatepost worker', 'gatepost heart') AND datname = current_database()
ORDER BY random() LIMIT %s
"""
UNSETTLED = """
SELECT r.run_id, r.status, r.reason, r.seq, r.epoch, r.owner, r.lease_expires_at, r.wake_at, r.wake_reason, r.setbacks,
       r.setback_seq, r.trouble, gatepost.now() AS now,
       (SELECT json_agg(json_build_array(a.approval_id, a.status, a.taken_seq)) FROM gatepost.approval a
        WHERE a.run_id = r.run_id) AS asked,
       (SELECT json_agg(json_build_array(e.step_id, e.state, e.epoch)) FROM gatepost.effect e
        WHERE e.run_id = r.run_id AND e.state <> 'succeeded') AS effects
FROM gatepost.run r WHERE r.status <> 'succeeded'
"""
SKEWED = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() - 5
time.time_ns = lambda: _time_ns() - 5 * 10**9
"""


class Fight:
    """Workers of which one or the other is always stopped, killed or cut off.

    Args:
        fleet: whose workers they are.
        dice: what happens when.
    """

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self._fleet, self._dice = fleet, dice
        self._hired = ExitStack()
        self.fighters: list[Hand] = []
        """Those that are left."""
        self._asleep: dict[Hand, float] = {}
        self._said: list[str] = []
        self._first = iter([self._stop, self._cut, self._kill])
        self.done: Counter[str] = Counter()
        """What was done to them."""

    def __enter__(self) -> Self:
        (self._fleet.folder / "skewed").mkdir()
        (self._fleet.folder / "skewed" / "sitecustomize.py").write_text(SKEWED)
        for number in range(FIGHTERS):
            self._hire(skewed=number == 0)
        for fighter in self.fighters:
            fighter.until("[worker]")
        return self

    def __exit__(self, *_: object) -> None:
        for fighter in self._asleep:
            fighter.tell(signal.SIGCONT)
        self._hired.close()

    def strike(self) -> None:
        """Do something to one of them, and wake who has slept past its lease."""
        for fighter in [one for one, until in self._asleep.items() if until < time.monotonic()]:
            self._wake(fighter)
        blow = next(self._first, None) or self._dice.choice([self._stop, self._stop, self._kill, self._cut, self._cut])
        self.done[blow.__name__.removeprefix("_")] += 1
        blow()

    def settle(self) -> None:
        """No more blows: who sleeps wakes, and everybody finishes what is left."""
        for fighter in list(self._asleep):
            self._wake(fighter)

    def end(self) -> list[str]:
        """Everybody leaves in order; what they all said."""
        for fighter in self.fighters:
            fighter.until("[worker]")
            fighter.tell(signal.SIGTERM)
        assert [fighter.ended() for fighter in self.fighters] == [0] * len(self.fighters)
        return self._said + [line for fighter in self.fighters for line in fighter.lines]

    def standing(self) -> str:
        """Which fighters live, for whoever looks for what went wrong."""
        return ", ".join(f"{one.process.pid}: {one.process.poll()}" for one in self.fighters)

    def _hire(self, *, skewed: bool = False) -> None:
        environment = {"PGAPPNAME": "fighter", "MILL_STEPS": str(STEPS), "MILL_PACE": PACE}
        if skewed:
            environment["PYTHONPATH"] = f"{self._fleet.folder / 'skewed'}:{self._fleet.folder}"
        hand = self._fleet.hire("-c", "6", "--lease", f"{LEASE_SECONDS}s", "--patience", "50", **environment)
        self.fighters.append(self._hired.enter_context(hand))

    def _stop(self) -> None:
        """One sleeps until its leases have run out, and some more."""
        awake = [fighter for fighter in self.fighters if fighter not in self._asleep]
        if len(awake) > 1:
            fighter = self._dice.choice(awake)
            fighter.tell(signal.SIGSTOP)
            self._asleep[fighter] = time.monotonic() + LEASE_SECONDS + self._dice.uniform(0.1, 1.5)

    def _wake(self, fighter: Hand) -> None:
        fighter.tell(signal.SIGCONT)
        del self._asleep[fighter]

    def _kill(self) -> None:
        fighter = self._dice.choice(self.fighters)
        self._asleep.pop(fighter, None)
        self.fighters.remove(fighter)
        fighter.kill()
        self._said += fighter.lines
        self._hire()

    def _cut(self) -> None:
        self._fleet.rows(CUT, self._dice.randint(1, 4))


@pytest.mark.timeout(FIGHT_SECONDS + 2 * SETTLED_SECONDS)
def test_a_fight_loses_nothing_and_does_nothing_twice(fleet: Fleet) -> None:
    dice = random.Random(SEED)
    runs = {f"grind-{number}": "grind" for number in range(GRINDING)}
    runs |= {f"press-{number}": "press" for number in range(PRESSING)}
    with Fight(fleet, dice) as fight:
        for run, goal in runs.items():
            fleet.admit(goal, run)
        deadline = time.monotonic() + FIGHT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(dice.uniform(0.1, 0.5))  # the rhythm of the blows; nothing is waited for
            fight.strike()
            _answer_some(fleet, dice)
        fight.settle()
        _settled(fleet, fight, dice)
        said = fight.end()
    heat = _heat(fleet, said)
    print(f"\nseed {SEED}: {dict(fight.done)}, {len(fleet.attempts())} attempts, {heat}")
    assert min(fight.done[blow] for blow in ("stop", "kill", "cut")) > 0
    assert heat["claims"] > len(runs) + PRESSING, "no run was ever taken over"
    for run, goal in runs.items():
        _one_owner_at_a_time(fleet, run)
        _each_effect_once(fleet, run, _steps(goal))
    assert fleet.rows("SELECT * FROM gatepost.intervention") == []
    assert fleet.rows("SELECT * FROM gatepost.next_mover") == []


def _settled(fleet: Fleet, fight: Fight, dice: random.Random) -> None:
    """Wait until all runs have succeeded; who has not is told of with all that is known, since no fight comes twice."""
    try:
        wait_until(lambda: _answer_some(fleet, dice) or set(fleet.stands()) == {"succeeded"}, seconds=SETTLED_SECONDS)
    except AssertionError:
        left = fleet.rows(UNSETTLED)
        why = "\n".join(fleet.cli("run", "why", row["run_id"]).stdout for row in left[:3])
        heard = (
            line for hand in fight.fighters for line in hand.lines[-400:] if any(row["run_id"] in line for row in left)
        )
        raise AssertionError("\n".join(["seed", str(SEED), *map(str, left), why, *heard, fight.standing()])) from None


def _answer_some(fleet: Fleet, dice: random.Random) -> bool:
    """Answer questions that are open; some are left for later."""
    for row in fleet.rows("SELECT request FROM gatepost.approval WHERE status = 'open'"):
        if dice.random() < 0.5:
            answer = {"approval": row["request"]["id"], "type": "approve", "by": "alice"}
            fleet.graph.decide(Decision.model_validate(answer))
    return False


def _steps(goal: str) -> list[str]:
    return [f"grind_{number}" for number in range(STEPS)] if goal == "grind" else ["grind_0", "press", "after"]


def _one_owner_at_a_time(fleet: Fleet, run: str) -> None:
    rows = fleet.rows("SELECT seq, epoch, actor FROM gatepost.transition WHERE run_id = %s ORDER BY seq", run)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1)), run
    assert [row["epoch"] for row in rows] == sorted(row["epoch"] for row in rows), run
    owners: dict[int, set[str]] = {}
    for row in rows:
        owners.setdefault(row["epoch"], set()).add(row["actor"])
    assert all(len(actors) == 1 for actors in owners.values()), (run, owners)
    assert fleet.run(run)["seq"] == len(rows), run


def _each_effect_once(fleet: Fleet, run: str, steps: list[str]) -> None:
    keys = {(key, step) for key, of, step in fleet.attempts() if of == run}
    assert sorted(step for _, step in keys) == sorted(steps), (run, keys)
    ledger = fleet.rows("SELECT key, step_id, state FROM gatepost.effect WHERE run_id = %s", run)
    assert {(row["key"], row["step_id"]) for row in ledger} == keys, run
    assert {row["state"] for row in ledger} == {"succeeded"}, run


def _heat(fleet: Fleet, said: list[str]) -> dict[str, int]:
    """How hot it was, for whoever reads the log of a fight."""
    (epochs,) = fleet.rows("SELECT max(epoch)::int AS most, sum(epoch)::int AS claims FROM gatepost.run")
    return {**epochs, **{word: sum(f"={word}(" in line for line in said) for word in ("lost", "trouble", "released")}}
