"""Tries to lose an error on its way into a row or another process, or to raise one that the tree does not show."""

from __future__ import annotations

import copy
import inspect
import pickle
import pkgutil
import re
from importlib import import_module

import pytest

import gatepost
from gatepost.state import errors
from gatepost.state.errors import AlreadyDecided, CallerMistake, GatepostError, LostRun, RetryableFault

for _module in ("state", "nodes", "checkpointing", "graph"):
    for _found in pkgutil.iter_modules(import_module(f"gatepost.{_module}").__path__, f"gatepost.{_module}."):
        import_module(_found.name)


def tree(base: type[GatepostError] = GatepostError) -> list[type[GatepostError]]:
    return [base, *(found for child in base.__subclasses__() for found in tree(child))]


EVERY = [found for found in tree() if found.__module__.startswith("gatepost.")]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: str(kind.__name__))
def test_error_survives_pickle_and_copy(kind: type[GatepostError]) -> None:
    error = kind("the cause. The next step.")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 (our own bytes)
        assert type(back) is kind
        assert str(back) == "the cause. The next step."
        assert back.args == error.args
        assert vars(back) == vars(error)


def test_what_is_recorded_survives_with_its_error() -> None:
    error = AlreadyDecided("bob said no", {"type": "reject", "by": "bob"})
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert (str(back), back.recorded) == ("bob said no", {"type": "reject", "by": "bob"})
    assert AlreadyDecided("bob said no").recorded == {}


def drawn(text: str) -> list[tuple[int, str]]:
    """Depth and name of every line of the tree in a docstring."""
    found = re.findall(r"^ {4}([│├└─ ]*)([A-Z][A-Za-z]+)(?: {2,}.*)?$", text, re.MULTILINE)
    return [(len(branch) // 4, name) for branch, name in found]


def real(base: type[GatepostError], depth: int = 0) -> list[tuple[int, str]]:
    children = [child for child in base.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, base.__name__), *(found for child in children for found in real(child, depth + 1))]


def test_tree_in_the_docstring_is_the_real_one() -> None:
    assert drawn(errors.__doc__ or "") == real(GatepostError)
    assert len(real(GatepostError)) > 10


def test_every_error_belongs_to_exactly_one_family() -> None:
    for kind in set(EVERY) - {GatepostError}:
        assert sum(issubclass(kind, family) for family in (CallerMistake, RetryableFault, LostRun)) == 1


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: str(kind.__name__))
def test_error_says_what_it_means(kind: type[GatepostError]) -> None:
    assert kind.__doc__
    assert kind.__doc__ != Exception.__doc__


def test_nothing_of_ours_is_an_error_outside_the_tree_that_a_caller_could_meet() -> None:
    from_facade = [getattr(gatepost, name) for name in gatepost.__all__]
    found = [one for one in from_facade if inspect.isclass(one) and issubclass(one, BaseException)]
    # The first a caller raises, and never meets; the second is met in the caller's own graph only.
    assert found == [gatepost.NotDone, gatepost.ToolFailed]
