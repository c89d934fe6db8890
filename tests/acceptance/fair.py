"""A fair for the tests of recovery: copied into a test's folder, and named by --workflows fair:WORKFLOWS.

A file of the folder says what is broken; another is the provider's book, which dedupes by key.
"""

from __future__ import annotations

from pathlib import Path

from gatepost import EffectContext, FixedPlan, NotDone, Plan, Retry, Step, Workflow, tool

HERE = Path(__file__).parent
BOOK = HERE / "book"
BROKEN = HERE / "broken"
ONCE = Retry(attempts=1)


def _write(key: str, what: str) -> None:
    if BROKEN.exists() and BROKEN.read_text() == what:
        raise NotDone(f"{what} is broken")
    if key not in (BOOK.read_text() if BOOK.exists() else ""):
        with BOOK.open("a") as book:
            book.write(f"{key} {what}\n")


@tool(effect="write", on_doubt="retry", retry=ONCE)
def take_down(ctx: EffectContext, what: str) -> None:
    """Take something down."""
    _write(ctx.idempotency_key, f"-{what}")


@tool(effect="write", on_doubt="retry", retry=ONCE, compensate=take_down)
def put_up(ctx: EffectContext, what: str) -> str:
    """Put something up."""
    _write(ctx.idempotency_key, f"+{what}")
    return what


PLAN = Plan(
    steps=(
        Step(id="stall", tool="put_up", args={"what": "stall"}),
        Step(id="light", tool="put_up", args={"what": "light"}, needs=("stall",)),
        Step(id="gate", tool="put_up", args={"what": "gate"}, needs=("light",)),
    )
)
WORKFLOWS = [Workflow(name="fair", goals=("fair",), strategy=FixedPlan(PLAN), tools=(put_up,))]
