"""Options on the wrong side: one that stands before every command, typed after it, is answered with where it stands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class CommandsAfterOptions(TyperGroup):
    """The group of all commands."""

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
