"""What a person is asked, the commands that answer it, and answering it right here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gatepost.service import terminal
from gatepost.service.cli.desk import acting, authenticated
from gatepost.service.cli.foreseen import change_lines, impact_lines
from gatepost.service.cli.typed import pair
from gatepost.service.cli.values import edited, read_pairs
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.errors import AlreadyDecided, CallerMistake
from gatepost.state.form import fields_of

if TYPE_CHECKING:
    from gatepost.checkpointing.answers import Recorded
    from gatepost.service.cli.desk import Desk

_WORDS = {"approve": "[a]pprove", "edit": "[e]dit", "reject": "[r]eject", "respond": "re[s]pond"}
_KEYS = {"a": "approve", "e": "edit", "r": "reject", "s": "respond"}
_FOUND_OUT = {"edit": "it [h]appened", "reject": "it did [n]ot happen"}
_FOUND_OUT_KEYS = {"h": "edit", "n": "reject"}


def show_request(say: Callable[[str], None], asked: ApprovalRequest, fork_effects: str | None) -> None:
    """What is asked: tool, arguments, reasons and evidence, one line each; and that a yes calls nothing, in a fork."""
    say(f"\n{terminal.one_line(asked.describe())}")
    calls = fork_effects in (None, "fire")
    if not calls and asked.kind != "doubt":
        say(
            f"  a yes calls nothing: this run is a fork (effects: {fork_effects}). "
            "The step gets a recorded result, or fails where there is none"
        )
    if asked.effect_key:
        say(f"  key {asked.effect_key}")
    for name, value in asked.args.items():
        say(f"  {terminal.one_line(name)} = {terminal.one_line(_shown(value))}")
    for step, digest in asked.evidence.items():
        say(f"  rests on {terminal.one_line(step)} ({digest[:12]})")
    for line in (*change_lines(asked), *impact_lines(asked, calls=calls)):
        say(line)
    if asked.asked:
        say(f"  asked of {terminal.one_line(asked.asked)}")
    for limit, what in ((asked.decide_by, "answer by"), (asked.act_by, "acts by")):
        if limit:
            say(f"  {what} {limit}")
    if asked.decide_by:
        after = asked.terms.next_asked(asked.level)
        say(f"  after that {f'somebody with the role {terminal.one_line(after)} is asked' if after else 'it is a no'}")


def show_edit(say: Callable[[str], None], asked: ApprovalRequest, args: Mapping[str, Any]) -> None:
    """The arguments of an edit, one line each, and what was asked where that was something else."""
    for name, value in args.items():
        before = asked.args.get(name)
        was = "" if before == value or asked.kind == "doubt" else f" (asked: {_shown(before)})"
        say(f"  {terminal.one_line(name)} = {terminal.one_line(_shown(value) + was)}")


def show_commands(desk: Desk, asked: ApprovalRequest, name: str | None) -> None:
    """The commands that answer it, ready to be copied."""
    for kind, command in commands(desk, asked, name).items():
        terminal.note(f"  {command}", style="bold" if kind == "approve" else "")
    if name is None:
        terminal.hint(f"  As {terminal.one_line(acting(name).actor)}; --as NAME answers as somebody else.")
    if desk.keeps_a_secret:
        terminal.hint("  The password in --database is not repeated here: put it back, or set PGPASSWORD.")


def commands(desk: Desk, asked: ApprovalRequest, name: str | None) -> dict[str, str]:
    """The commands that answer it, by the type of the answer."""
    if asked.kind == "doubt" and asked.effect_key:
        found = {"edit": ("--happened", "--result", "what it returned"), "reject": ("--did-not-happen",)}
        return {
            kind: desk.typed("effect", "resolve", asked.effect_key, *said, name=name) for kind, said in found.items()
        }
    said = {
        "approve": (),
        "edit": ("--set", pair(asked.args)),
        "reject": ("--comment", "say why"),
        "respond": ("say what to do first",),
    }
    return {kind: desk.typed("approval", kind, asked.id, *said[kind], name=name) for kind in asked.allowed}


def refuse_plain_yes(desk: Desk, asked: ApprovalRequest, name: str | None) -> None:
    """Refuse to take a plain yes for what happened.

    Raises:
        CallerMistake: it is asked what happened; says what to type instead.
    """
    if asked.kind == "doubt":
        instead = commands(desk, asked, name)
        raise CallerMistake(
            f"approval {asked.id} asks what happened, so a plain yes is no answer. It happened, and returned this: "
            f"{instead['edit']} . It did not happen: {instead['reject']}"
        )


def answer_here(desk: Desk, asked: ApprovalRequest, name: str | None) -> bool:
    """Ask the person at the terminal until an answer is recorded; False when they leave it open."""
    words, keys = (_FOUND_OUT, _FOUND_OUT_KEYS) if asked.kind == "doubt" else (_WORDS, _KEYS)
    offered = "  ".join([*(words[kind] for kind in asked.allowed), "[l]eave it"])
    while True:
        choice = terminal.ask(f"\n{offered} (as {terminal.one_line(acting(name).actor)})? ")
        kind = keys.get((choice or "l").lower()[:1])
        if kind not in asked.allowed:
            if choice is None or choice.lower()[:1] == "l":
                show_commands(desk, asked, name)
                return False
            terminal.hint("Type one of the letters in brackets.")
            continue
        try:
            recorded = desk.graph.decide(_made(asked, kind, name), context=desk.acting(name), going_on=True)
        except AlreadyDecided as error:
            terminal.complain("error", error)  # somebody else's answer stands, and the run goes on with it
        except CallerMistake as error:
            terminal.complain("error", error)
            continue
        else:
            if not recorded.decided:
                terminal.note(terminal.one_line(told_of(recorded)))
                return False
        return True


def told_of(recorded: Recorded) -> str:
    """That a yes is on record which needs others beside it."""
    said, request = recorded.decision, recorded.request
    left = recorded.needed - recorded.yes
    roles = request.terms.asked(request.level)
    whom = f" with the role {' or '.join(roles)}" if roles else ""
    more = f"one more person{whom} has" if left == 1 else f"{left} more people{whom} have"
    already = "already recorded" if recorded.repeated else "recorded"
    return f"{already}: {said.type} by {said.by}, {recorded.yes} of {recorded.needed}; {more} to say yes to it"


def decision(made: dict[str, Any], name: str | None) -> Decision:
    """An answer that arrived on the command line."""
    return Decision.model_validate({**made, "channel": "cli", "authenticated": authenticated(name)})


def _made(asked: ApprovalRequest, kind: str, name: str | None) -> Decision:
    by = acting(name).actor
    if asked.kind == "doubt":
        return decision(_found_out(asked, kind, by), name)
    match kind:
        case "approve":
            made = asked.approve(by=by)
        case "edit":
            made = edited(asked, _edits(asked), None, by=by)
        case "reject":
            made = asked.reject(by=by, comment=_line("why: "))
        case _:
            made = asked.respond(_needed("what first: "), by=by)
    return decision(made, name)


def _found_out(asked: ApprovalRequest, kind: str, by: str) -> dict[str, Any]:
    if kind == "reject":
        return asked.did_not_happen(by=by, comment=_line("how you know: "))
    said = _line("what it returned (JSON; empty for nothing): ")
    return asked.happened(by=by, result=read_pairs([f"result={said}"])["result"] if said else None)


def _edits(asked: ApprovalRequest) -> list[str]:
    """What the person changes, one argument a line."""
    for field in fields_of(asked.args_schema).values():
        terminal.hint(terminal.one_line(f"  {field.name} takes {field.shown}"))
    pairs = []
    while line := _line("name=value (an empty line ends): "):
        pairs.append(line)
    if not pairs:
        raise CallerMistake("nothing was changed. Approve it, or say what to change.")
    return pairs


def _needed(prompt: str) -> str:
    if said := _line(prompt):
        return said
    raise CallerMistake("nothing was said. Say what the planner should do first.")


def _line(prompt: str) -> str:
    """A line that belongs to an answer; who closes the input instead has not given one."""
    if (said := terminal.ask(prompt)) is None:
        raise CallerMistake("broken off: no answer is recorded.")
    return said


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
