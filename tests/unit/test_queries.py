"""Looks for statements that cannot be found, that nobody asks for, or that a value could be formatted into."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest

from gatepost.checkpointing.queries import query

FOLDER = files("gatepost.checkpointing") / "sql" / "queries"
ROOMS = sorted(entry.name.removesuffix(".sql") for entry in FOLDER.iterdir() if entry.name.endswith(".sql"))
CODE = Path(__file__).parents[2]


def text(room: str) -> str:
    return (FOLDER / f"{room}.sql").read_text()


def names(room: str) -> list[str]:
    return [line.removeprefix("-- name:").strip() for line in text(room).splitlines() if line.startswith("-- name:")]


QUERIES = [f"{room}.{name}" for room in ROOMS for name in names(room)]


def asked_for() -> set[str]:
    """Every `query("…")` and every name staged for one, anywhere in our code."""
    found: set[str] = set()
    for folder in ("checkpointing", "nodes", "graph", "service", "testing"):
        for path in (CODE / folder).rglob("*.py"):
            texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
            found |= {value for value in texts if isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", value)}
    return {name for name in found if name.partition(".")[0] in ROOMS}


def test_there_are_queries() -> None:
    assert len(QUERIES) > 20


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_given_twice(room: str) -> None:
    assert sorted(names(room)) == sorted(set(names(room)))


@pytest.mark.parametrize("name", QUERIES)
def test_query_loads_and_is_one_statement_that_says_what_it_is_for(name: str) -> None:
    statement = query(name)
    purpose, _, code = statement.partition("\n")
    assert re.fullmatch(r"-- \S.*[.:;,\w)]", purpose)
    assert code.strip()
    assert "-- name:" not in statement
    bare = re.sub(r"--.*|'[^']*'", "", statement).strip()
    assert bare.count(";") <= 1
    assert not bare.count(";") or bare.endswith(";")


@pytest.mark.parametrize("name", QUERIES)
def test_values_reach_a_query_only_as_named_parameters(name: str) -> None:
    statement = query(name)
    assert not re.findall(r"%(?!%|\(\w+\)[sbt])", statement.replace("%%", ""))
    assert not re.findall(r"[{}]", re.sub(r"'[^']*'", "", statement))


def matches(asked: str, name: str) -> bool:
    """A name that ends in `_` is the beginning of several: `query(f"thread.copy_{what}")`."""
    return name.startswith(asked) if asked.endswith("_") else name == asked


def test_every_query_that_is_asked_for_exists() -> None:
    assert [asked for asked in sorted(asked_for()) if not any(matches(asked, name) for name in QUERIES)] == []


def test_every_query_is_asked_for() -> None:
    asked_names = asked_for()
    assert [name for name in QUERIES if not any(matches(asked, name) for asked in asked_names)] == []


@pytest.mark.parametrize("name", ["run.no_such_statement", "run", ""])
def test_a_query_that_does_not_exist_is_a_bug_that_shows(name: str) -> None:
    with pytest.raises((KeyError, FileNotFoundError)):
        query(name)
