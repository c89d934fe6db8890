"""Tries to print a command that a shell reads differently, or that names another installation."""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from gatepost.service.cli.app import app
from gatepost.service.cli.typed import pair, program, retyped, typed
from gatepost.service.cli.values import read_pairs

NAMED = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")) | st.lists(st.integers())


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1))
def test_shell_reads_back_every_word(words: list[str]) -> None:
    command = typed(("--policy", "a b"), *words, name="o'hara")
    assert shlex.split(command) == [*program(), "--policy", "a b", *words, "--as", "o'hara"]


@given(st.dictionaries(NAMED, PLAIN, min_size=1))
def test_example_of_an_edit_changes_nothing_when_it_is_not_changed(args: dict[str, object]) -> None:
    name, _, _ = (example := pair(args)).partition("=")
    assert example == "NAME=VALUE" or read_pairs([example]) == {name: args[name]}


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation: its Python, and the command beside it."""
    folder = tmp_path / "project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "gatepost").write_text("#!/bin/sh\n")
    (folder / "gatepost").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    return folder


def test_command_is_named_as_the_shell_finds_it(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program() == (str(bin_folder / "gatepost"),)
    monkeypatch.chdir(bin_folder.parents[1])
    assert program() == (".venv/bin/gatepost",)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.defpath}")
    assert program() == ("gatepost",)
    (bin_folder / "gatepost").unlink()
    assert program() == (str(bin_folder / "python"), "-m", "gatepost.service.cli.app")


def test_command_in_a_message_works_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.service.cli.typed.program", lambda: (".venv/bin/gatepost",))
    said = "no run 'x'. `gatepost run list` shows them; `gatepost policy list`, `gatepost history ID --tenant b`, `x`."
    assert retyped(said, ("--workflows", "a b"), "ac me") == (
        "no run 'x'. `.venv/bin/gatepost --workflows 'a b' run list --tenant 'ac me'` shows them; "
        "`.venv/bin/gatepost --workflows 'a b' policy list`, `.venv/bin/gatepost --workflows 'a b' history ID "
        "--tenant b`, `x`."
    )
    assert retyped(said, ()) == said.replace("`gatepost", "`.venv/bin/gatepost")


ROOMS = ("state", "checkpointing", "nodes", "graph")
TYPED_ELSEWHERE = {"gatepost worker", "At a terminal: gatepost approval show "}
"""The name of connections; and a line of a mail, whose reader has a shell of their own."""


def test_messages_from_below_name_commands_so_that_they_are_retyped() -> None:
    bare = re.compile(rf"(?<!`)\bgatepost ({'|'.join(get_command(app).commands)})\b")  # type: ignore[attr-defined]
    found = [
        f"{path}: {text}"
        for room in ROOMS
        for path in Path(import_module(f"gatepost.{room}").__path__[0]).glob("*.py")
        for text in _said(ast.parse(path.read_text(encoding="utf-8")))
        if bare.search(text) and text not in TYPED_ELSEWHERE
    ]
    assert found == []


def _said(tree: ast.Module) -> list[str]:
    """Every text of a module that documents nothing."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation]
    return [node.value for node in texts if isinstance(node.value, str)]
