"""Several answers at once: what may work in a moment is no result of one of them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gatepost.checkpointing.keys import Key
from gatepost.service.http import bulk
from gatepost.service.http.caller import Caller
from gatepost.state.errors import DatabaseUnavailable, GatepostError, InvalidDecision


@pytest.mark.parametrize(("error", "kept"), [(DatabaseUnavailable("away"), False), (InvalidDecision("no"), True)])
def test_a_fault_that_passes_is_not_kept_as_the_result_of_one(
    error: GatepostError, *, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def decided(*_: Any, **__: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(bulk, "decided", decided)
    item = bulk.BulkItem(approval="apr_1", digest="0" * 64)
    given = bulk.BulkAnswer(type="approve", items=[item])
    caller = Caller(cast("Key", type("OneKey", (), {"key_id": "key_1"})))
    answering = bulk._one(cast("Any", None), caller, given, item)
    if kept:
        assert asyncio.run(answering)["status"] == 422
    else:
        with pytest.raises(DatabaseUnavailable):
            asyncio.run(answering)
