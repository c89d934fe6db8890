"""Tries to write what no run and no effect can be, and to delete a run that leaves something behind."""

from __future__ import annotations

from typing import Any, LiteralString

import pytest
from psycopg import errors
from tests.integration.conftest import Shop

TABLES = """
SELECT c.table_name AS name FROM information_schema.columns c JOIN information_schema.tables t
    USING (table_schema, table_name)
WHERE c.table_schema = 'gatepost' AND c.column_name = 'run_id' AND t.table_type = 'BASE TABLE' ORDER BY 1
"""


@pytest.fixture
def ended(shop: Shop) -> str:
    """A run with an effect, which has ended."""
    assert shop.answer(shop.open().approve(by="alice"))["status"] == "succeeded"
    return shop.run()


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("run_final_is_finished", "UPDATE gatepost.run SET finished_at = NULL WHERE run_id = %s"),
        ("run_final_is_finished", "UPDATE gatepost.run SET status = 'running' WHERE run_id = %s"),
        ("run_owned_has_lease", "UPDATE gatepost.run SET owner = 'me' WHERE run_id = %s"),
        ("run_owned_has_lease", "UPDATE gatepost.run SET lease_expires_at = now() WHERE run_id = %s"),
        ("run_ordered_check", "UPDATE gatepost.run SET ordered = 'dance' WHERE run_id = %s"),
        ("run_fork_has_parent", "UPDATE gatepost.run SET parent_run_id = 'r' WHERE run_id = %s"),
        ("run_fork_has_parent", "UPDATE gatepost.run SET fork_effects = 'reuse' WHERE run_id = %s"),
        (
            "run_fork_effects_check",
            "UPDATE gatepost.run SET parent_run_id = 'r', parent_seq = 1, fork_effects = 'dance' WHERE run_id = %s",
        ),
        ("run_traceparent_check", "UPDATE gatepost.run SET traceparent = repeat('0', 101) WHERE run_id = %s"),
        ("effect_known_is_finished", "UPDATE gatepost.effect SET state = 'intended' WHERE run_id = %s"),
        ("effect_known_is_finished", "UPDATE gatepost.effect SET finished_at = NULL WHERE run_id = %s"),
        ("effect_class_check", "UPDATE gatepost.effect SET effect_class = 'dance' WHERE run_id = %s"),
        ("on_doubt_check", "UPDATE gatepost.effect SET on_doubt = 'dance' WHERE run_id = %s"),
        ("purpose_check", "UPDATE gatepost.effect SET purpose = 'dance' WHERE run_id = %s"),
    ],
)
def test_what_cannot_be_is_refused(owner: Any, ended: str, rule: str, change: LiteralString) -> None:
    with pytest.raises(errors.CheckViolation) as refused:
        owner.change(change, ended)
    assert refused.value.diag.constraint_name == rule


def test_a_run_that_never_was_is_refused_like_one_that_changes(owner: Any, ended: str) -> None:
    copied = (
        "INSERT INTO gatepost.run SELECT (jsonb_populate_record(r, %s::jsonb)).* FROM gatepost.run r WHERE run_id = %s"
    )
    with pytest.raises(errors.CheckViolation, match="run_final_is_finished"):
        owner.change(copied, '{"run_id": "never", "finished_at": null}', ended)


def test_a_run_that_is_deleted_takes_everything_along(lone_owner: Any, lone_shop: Shop) -> None:
    for run in ("kept", "deleted"):
        assert lone_shop.answer(lone_shop.open(run).approve(by="alice"), run)["status"] == "succeeded"
    tables = [row["name"] for row in lone_owner.rows(TABLES)]

    def held(run: str) -> dict[str, int]:
        count = "SELECT count(*) AS n FROM gatepost.{} WHERE run_id = %s"
        return {name: lone_owner.rows(count.format(name), lone_shop.run(run))[0]["n"] for name in tables}

    before = held("kept")
    assert {name for name, n in before.items() if n} >= {"run", "step", "transition", "effect", "plan", "approval"}
    assert lone_owner.change("DELETE FROM gatepost.run WHERE run_id = %s", lone_shop.run("deleted")) == 1
    assert not any(held("deleted").values())
    assert held("kept") == before
