"""Passage: whether a provider may be called now, by what all workers know of it.

A tool that names no provider is called whenever its turn comes.
"""

from __future__ import annotations

from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.state.failure import FailureKind
from gatepost.state.step import Failure

_BAD_TIME: frozenset[FailureKind] = frozenset({"transient", "throttled", "timeout"})
"""What says something about the provider, and not about the call."""


class Provider:
    """The provider of a tool, as this tenant meets it.

    Args:
        visit: the held run.
        tool: says who its provider is, if it says so.
    """

    def __init__(self, visit: Visit, tool: AnyTool) -> None:
        self._breakers = visit.equipment.breakers
        self._tenant = visit.session.run.tenant
        self._tool = tool
        self._troubled = False

    async def closed(self) -> Failure | None:
        """Why it may not be called now, and for how long (`retry_after`); None: it may."""
        if self._tool.provider is None:
            return None
        passage = await self._breakers.enter(self._tenant, self._tool.provider, probe=self._tool.timeout)
        self._troubled = passage.troubled
        if passage.wait is None:
            return None
        message = f"nobody calls {self._tool.provider} for now: {passage.why}"
        return Failure(kind="throttled", message=message, retry_after=passage.wait.total_seconds())

    async def answered(self, failure: Failure | None) -> None:
        """Take note of how a call went; a refusal is an answer like any other."""
        if self._tool.provider is None:
            return
        if failure is not None and failure.kind in _BAD_TIME:
            await self._breakers.failed(self._tenant, self._tool.provider, failure)
            self._troubled = True
        elif self._troubled:
            await self._breakers.answered(self._tenant, self._tool.provider)
            self._troubled = False
