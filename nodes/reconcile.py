"""Reconciling: what became of an attempt whose end nobody saw, found out the way its tool declares.

Invariant: a provider's "yes" counts at once, its "no" only when the last request can no longer arrive; and no clock
turns doubt into "try again". What cannot be found out here is a question to a person (`nodes.doubt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import JsonValue

from gatepost.checkpointing.effect_rows import Entry
from gatepost.nodes.failure import classify
from gatepost.nodes.outcome import Outcome, parked, succeeded, unknown
from gatepost.nodes.tool import AnyTool, EffectContext
from gatepost.nodes.visit import Visit
from gatepost.nodes.waits import LONGEST_PAUSE_SECONDS, SLICE_SECONDS, Clock, pause
from gatepost.state import crash
from gatepost.state.effect import OnDoubt
from gatepost.state.errors import LostRun
from gatepost.state.step import Failure


class Reconciler:
    """What nobody knows yet of the attempts at one call.

    Args:
        visit: the held run.
        tool: what is called; it declares how doubt is resolved.
        args: plain, as they were judged.
        context: told to a look-up as it is to the tool.
        clock: by which the attempts are made.
    """

    def __init__(
        self, visit: Visit, tool: AnyTool, args: Mapping[str, JsonValue], *, context: EffectContext, clock: Clock
    ) -> None:
        self._visit = visit
        self._tool = tool
        self._args = args
        self._context = context
        self._clock = clock
        self.doubt: Failure | None = None
        """An attempt whose end nobody saw, this owner's or an earlier one's."""

    def take_up(self, entry: Entry) -> None:
        """Doubt what an earlier owner announced, unless it certainly did nothing."""
        if not entry.fresh and not entry.cleared:
            self.doubt = Failure(
                kind="in_doubt",
                message=f"an earlier attempt of {self._tool.name} was cut off after it was announced (key {entry.key})",
            )

    async def resolve(self, key: str, *, again: bool, made: int) -> Outcome | None:
        """What became of an attempt whose end nobody saw.

        Args:
            key: of the effect.
            again: whether another attempt is to be made.
            made: attempts, for the case that it is looked up later.

        Returns:
            How the call ended, or until when it waits; None: it does no harm to go on.
        """
        assert self.doubt is not None
        match self._tool.on_doubt:
            case OnDoubt.RETRY if again:
                return None
            case OnDoubt.TRANSACTION:
                self.doubt = None  # had it committed, its result would be recorded
                return None
            case OnDoubt.LOOKUP:
                return await self._look_up(key, made)
            case _:
                return unknown(self.doubt)

    async def _look_up(self, key: str, made: int) -> Outcome | None:
        """Ask the provider: a yes counts at once, a no only when the last request can no longer arrive."""
        assert self._tool.settle is not None
        entry = await reread(self._visit, key)
        arrives_until = entry.attempted_at + self._tool.timeout + self._tool.settle
        found = await self._ask()
        if isinstance(found, Outcome):
            return found
        left = (arrives_until - entry.now).total_seconds()
        if left > LONGEST_PAUSE_SECONDS:
            why = (
                f"a look-up of {self._tool.name} found nothing, which proves nothing yet: the request may still "
                f"arrive (key {key})"
            )
            until = self._clock.now() + timedelta(seconds=left)
            return parked(Failure(kind="in_doubt", message=why), until=until, attempts=made, doubt=True)
        if left > 0:
            await self._until(arrives_until, key)
            found = await self._ask()
        if found is None:
            self.doubt = None  # it did not happen, and will not
            return None
        return found if isinstance(found, Outcome) else unknown(found)

    async def _ask(self) -> Outcome | Failure | None:
        """What the look-up found: the result; None for nothing; a failure where it could not be asked."""
        crash.here("lookup.before")
        try:
            found = await self._tool.look_up(self._context, self._args)
            return None if found is None else succeeded(self._tool, found)
        except LostRun:
            raise
        except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
            failure, _ = classify(error)
            return failure.model_copy(update={"message": f"the look-up failed: {failure.message}"})

    async def _until(self, moment: datetime, key: str) -> None:
        """Wait until the database's clock says so; the heartbeat keeps the lease meanwhile."""
        while (left := (moment - (await reread(self._visit, key)).now).total_seconds()) > 0:
            await pause(self._visit.session, min(left, SLICE_SECONDS))


async def reread(visit: Visit, key: str) -> Entry:
    """What the ledger has by now under a key that was announced."""
    entry = await visit.equipment.ledger.get(key)
    assert entry is not None
    return entry
