"""Words in the wrong place: an option on the other side of its command, a command without its group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup


class CommandsAfterOptions(TyperGroup):
    """The group of all commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, with the hint."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            said: Any = error
            option = getattr(said, "option_name", None)
            if taking := [words for words, one in _below(self) if any(option in known.opts for known in one.params)]:
                first = {words.partition(" ")[0] for words in taking}
                example = f": gatepost {first.pop()} {option} …" if len(first) == 1 else ""
                said.message = f"{said.message}. It stands after the command{example}"
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, with the hint."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            said: Any = error
            groups = [name for name, one in self.commands.items() if args[0] in getattr(one, "commands", {})]
            if groups:
                said.message = f"{said.message} There is {', '.join(f'gatepost {name} {args[0]}' for name in groups)}."
            raise

    def invoke(self, ctx: Any) -> Any:
        """As typer's, with the hint."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            said: Any = error
            option = getattr(said, "option_name", None)
            if option in {name for known in self.params for name in known.opts}:
                said.message = (
                    f"{said.message}. It stands before the command: gatepost {option} … {ctx.invoked_subcommand}"
                )
            raise


def _below(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, by its words."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        yield from _below(command, f"{before}{name} ") if hasattr(command, "commands") else ()
