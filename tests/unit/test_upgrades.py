"""Tries to read a state of another time as if it were today's."""

from __future__ import annotations

import pytest

from gatepost.state.channels import STATE_SCHEMA, check_version
from gatepost.state.errors import UnknownVersion
from gatepost.state.upgrades import UPGRADES, upgraded


def test_a_state_is_brought_up_to_date_version_by_version() -> None:
    steps = {
        1: lambda state: {**state, "customer": state["client"]},
        2: lambda state: {name: value for name, value in state.items() if name != "client"},
    }
    old = {"schema_version": 1, "client": "ada"}
    assert upgraded(old, to=3, upgrades=steps) == {"schema_version": 3, "customer": "ada"}
    assert old == {"schema_version": 1, "client": "ada"}


@pytest.mark.parametrize("version", [0, STATE_SCHEMA + 1])
def test_where_no_way_leads_the_state_is_refused(version: int) -> None:
    with pytest.raises(UnknownVersion, match="schema_version"):
        check_version(upgraded({"schema_version": version}, to=STATE_SCHEMA))


def test_every_version_that_was_leads_to_todays() -> None:
    assert sorted(UPGRADES) == list(range(1, STATE_SCHEMA))
