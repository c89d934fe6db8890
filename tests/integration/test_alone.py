"""Tries to let a superstep that is committed by itself leave other rows than one that is committed with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool
from gatepost.checkpointing import alone

ALL = Policy('@id("all") permit (principal, action, resource);')
WRITTEN = {
    "transition": "seq, source, nodes, next, status, split_part(reason, 'apr_', 1) AS reason, actor, epoch,"
    " checkpoint_id IS NULL AS nowhere",
    "step": "seq, step_id, status, record::jsonb - 'now' - 'key' - 'approval' AS record",
    "effect": "step_id, root_run_id = run_id AS root, tenant, call_path, purpose, generation, tool, tool_version,"
    " effect_class, on_doubt, fingerprint, arguments, approval_id, state, attempts, epoch, result, failure,"
    " attempted_at = intended_at AS once, finished_at >= intended_at AS after, cleared, not_before",
    "run": "status, split_part(reason, 'apr_', 1) AS reason, seq, plan_version, epoch,"
    " finished_at IS NOT NULL AS finished",
}
KEPT = """
SELECT metadata - 'run_id' AS metadata, parent_checkpoint_id IS NULL AS first,
       (SELECT array_agg((b.channel, b.type)::text ORDER BY b.channel, b.version) FROM checkpoint_blobs b
        WHERE b.thread_id = c.thread_id) AS blobs,
       ARRAY(SELECT jsonb_object_keys(checkpoint -> 'channel_versions') ORDER BY 1) AS channels
FROM checkpoints c WHERE thread_id = %s ORDER BY checkpoint_id
"""


@pytest.fixture
def chain(build: Callable[..., GatepostGraph]) -> GatepostGraph:
    """Steps judged beforehand and at their turn, whose tool is called once more, answers nothing or fails."""

    @tool(effect="write", on_doubt="retry")
    def note(ctx: EffectContext, text: Any) -> Any:
        if text == "fail":
            raise ValueError("no 'such' \\ thing")
        return None if text == "nothing" else {"text": text, "quoted": 'a "b" \\ {c}, ü'}

    texts: dict[str, Any] = {"a": "x", "b": ref("a", "/text"), "c": "nothing", "d": [1, None], "e": "fail"}
    steps = [
        Step(id=name, tool="note", args={"text": text}, needs=(before,) if before else ())
        for (name, text), before in zip(texts.items(), [None, *texts], strict=False)
    ]
    return build(
        [Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=tuple(steps))), tools=(note,))], policy=ALL
    )


def test_alone_or_together_the_same_is_written(
    chain: GatepostGraph, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, asked = alone.parameters, []

    def noted(superstep: Any) -> Any:
        asked.append(plain(superstep))
        return asked[-1]

    written: list[dict[str, Any]] = []
    for run, way in (("alone", noted), ("together", lambda superstep: None)):
        monkeypatch.setattr(alone, "parameters", way)
        chain.invoke({"goal": "w"}, {"configurable": {"thread_id": f"same-{run}"}})
        found = {
            table: owner.rows(f"SELECT {columns} FROM gatepost.{table} WHERE run_id = %s ORDER BY 1, 2", f"same-{run}")  # noqa: S608
            for table, columns in WRITTEN.items()
        }
        written.append({**found, "checkpoints": owner.rows(KEPT, f"same-{run}")})
    went = [one for one in asked if one is not None]
    assert {(one["steps"] is None, one["key"] is None, one["intended_key"] is None) for one in went} >= {
        (False, False, False),  # a result, and the intent of the next step
        (False, False, True),
    }
    assert len(written[0]["effect"]) == 5
    for table in written[0]:
        assert written[0][table] == written[1][table], table
