"""Tries to find a run that can be recovered into nowhere, or that is refused without a way out."""

from __future__ import annotations

import pytest

from gatepost.state.recovery import STANDS, Mode, refusal
from gatepost.state.status import RUN_TRANSITIONS, RunStatus


@pytest.mark.parametrize("status", RunStatus)
@pytest.mark.parametrize("mode", Mode)
def test_every_mode_says_something_about_every_status(mode: Mode, status: RunStatus) -> None:
    why = refusal(mode, status, "run_4f")
    assert (why is None) == (status in STANDS[mode])
    assert why is None or len(why.split()) > 4


def test_what_goes_on_can_go_into_the_queue() -> None:
    for mode, stands in STANDS.items():
        then = RunStatus.CANCELLED if mode is Mode.ABANDON else RunStatus.QUEUED
        assert all(status is then or then in RUN_TRANSITIONS[status] for status in stands), mode


def test_no_way_out_of_what_went_well() -> None:
    for status in (RunStatus.SUCCEEDED, RunStatus.COMPENSATED):
        assert all(status not in stands for stands in STANDS.values())
