"""How channels become bytes: LangGraph's serializer, strict, with a shorter way for what each checkpoint holds.

Invariant: the bytes are LangGraph's own. It finds out that a `Send` is one by asking for a protocol, after everything
else that a value might be; on Python 3.11 that takes longer than all other channels of a superstep together.
"""

from __future__ import annotations

from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_POS_ARGS, JsonPlusSerializer
from langgraph.checkpoint.serde.types import TASKS
from langgraph.types import Send


class Serde(JsonPlusSerializer):
    """LangGraph's serializer, which builds no type that it does not know."""

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """As LangGraph's."""
        if type(obj) is dict and TASKS in obj:  # all channels of a place
            obj = {**obj, TASKS: self._shorter(obj[TASKS])}
        return super().dumps_typed(self._shorter(obj))

    def _shorter(self, value: Any) -> Any:
        if type(value) is list and all(type(one) is Send and one.timeout is None for one in value):
            return [self._sent(one) for one in value]
        return value

    def _sent(self, send: Send) -> ormsgpack.Ext:
        _, written = super().dumps_typed((Send.__module__, Send.__name__, (send.node, send.arg)))
        return ormsgpack.Ext(EXT_CONSTRUCTOR_POS_ARGS, written)
