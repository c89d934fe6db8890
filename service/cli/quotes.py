"""Missing quotes: a shell that split a sentence into words is answered with the quotes, not only with the odd word."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from typer.core import TyperCommand, TyperGroup

from gatepost.service.cli.typed import options_before, typed

_MEANT = {
    "status": "gatepost run show ID",
    "stop": "gatepost run hold ID, or gatepost run cancel ID for good",
    "kill": "gatepost run cancel ID",
    "delete": "gatepost run cancel ID",
    "continue": "gatepost run resume ID",
    "retry": "gatepost step retry ID STEP, or gatepost run recover ID --mode resume",
    "log": "gatepost history ID",
    "logs": "gatepost history ID",
}
"""What other programs call it."""


class SentenceGroup(TyperGroup):
    """A group that takes a goal: words that are no command may be the rest of it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, with the hint."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            words = list(takewhile(lambda word: not word.startswith("-"), args))
            if goal := ctx.params.get("goal"):
                _add(error, f'A goal of several words needs quotes: --goal "{" ".join([goal, *words])}"')
            elif meant := _MEANT.get(words[0] if words else ""):
                _add(error, f"Perhaps it is {meant}.")
            elif len(words) > 1:
                _add(error, f"To start a run, name its goal, in quotes: {_start(ctx, ' '.join(words))}")
            raise


class SentenceCommand(TyperCommand):
    """A command that takes a text."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, with the hint."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if "extra argument" in str(getattr(error, "message", "")):
                _add(error, 'A text of several words needs quotes: "like this"')
            raise


def _start(ctx: Any, goal: str) -> str:
    return typed(options_before(ctx.find_root()), "run", "--goal", goal)


def _add(error: Exception, hint: str) -> None:
    """To what typer says of wrong usage; its class is typer's own or click's, depending on the version."""
    said: Any = error
    said.message = f"{said.message} {hint}"
