"""Commands that are printed to be copied: they work when they are pasted where the one that printed them was typed.

Invariant: no password is printed. Whoever gave one in `--database` is told to put it back.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatepost.service import terminal

if TYPE_CHECKING:
    import typer

_REPEATED = ("database", "workflows", "policy", "policies")
_MODULE = "gatepost.service.cli.app"
_OF_A_TENANT = frozenset(
    {
        "run",
        "approval",
        "effect",
        "step",
        "history",
        "export",
        "replay",
        "fork",
        "role",
        "delegation",
        "key",
        "notice",
        "doctor",
    }
)
"""Commands that take --tenant."""
_NAMED = re.compile(r"`gatepost ([^`\n]+)`")


def typed(before: tuple[str, ...], *words: str, tenant: str | None = None, name: str | None = None) -> str:
    """A command as a person types it here, quoted for the shell.

    Args:
        before: the options that stand before the command.
        words: the command and what follows it.
        tenant: for which tenant, when it is another than this machine's own.
        name: who acts, when somebody said.
    """
    of = ("--tenant", tenant) if tenant is not None and words[0] in _OF_A_TENANT else ()
    acting = () if name is None else ("--as", name)
    return shlex.join([*program(), *before, *words, *of, *acting])


def retyped(message: str, before: tuple[str, ...], tenant: str | None = None) -> str:
    """A message from the rooms below, where the commands that it names work as they stand: on the same, for the same.

    Down there nobody knows how somebody got in. The words of a command stay as they are: some are no words of a
    shell, but stand for what is to be put in.

    Args:
        message: names commands as `gatepost …`, between backticks.
        before: the options that stand before the command.
        tenant: for which tenant, when it is another than this machine's own.
    """

    def again(found: re.Match[str]) -> str:
        words = found[1].split()
        takes_one = tenant is not None and words[0] in _OF_A_TENANT and "--tenant" not in words
        of = f" {shlex.join(('--tenant', tenant))}" if takes_one and tenant is not None else ""
        return f"`{shlex.join([*program(), *before])} {found[1]}{of}`"

    return _NAMED.sub(again, message)


def program() -> tuple[str, ...]:
    """How this very installation is called from here: by its name where the shell finds it, else by its path."""
    script = Path(sys.executable).with_name("gatepost")
    if not script.is_file():
        return (sys.executable, "-m", _MODULE)
    found = shutil.which("gatepost")
    if found is not None and Path(found).resolve() == script.resolve():
        return ("gatepost",)
    here = Path.cwd()
    return (str(script.relative_to(here) if script.is_relative_to(here) else script),)


def options_before(context: typer.Context) -> tuple[str, ...]:
    """The options that were typed before the command and change what it works on; not what the environment says."""
    words: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        source = context.get_parameter_source(name)
        if name not in _REPEATED or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        for given in value if isinstance(value, list | tuple) else [value]:
            words += [option.opts[0], _without_password(str(given)) if name == "database" else str(given)]
    return tuple(words)


def pair(args: Mapping[str, Any]) -> str:
    """One argument as `--set` takes it, with the value that it has: the shortest, because it is only an example."""
    pairs = [f"{name}={_value(value)}" for name, value in args.items()]
    return min((text for text in pairs if terminal.one_line(text) == text), key=len, default="NAME=VALUE")


def _value(value: Any) -> str:
    """A text as it is, unless it would be read as JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _without_password(database: str) -> str:
    from gatepost.checkpointing.address import resolve, secret_in
    from gatepost.state.errors import DatabaseUnavailable

    try:
        return resolve(database).shown if secret_in(database) else database
    except DatabaseUnavailable:
        return "URL"  # nobody can tell where its password is; whoever opens it is told what is wrong with it
