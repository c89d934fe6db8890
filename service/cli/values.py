"""Values on the command line: `name=value`, JSON, `@file`, `@-` for standard input, lengths of time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.state.approval import ApprovalRequest

LONGEST = timedelta(days=365)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)?")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_PAIR = re.compile(r"\w[\w.-]*=")


def read_object(text: str, *, what: str) -> dict[str, Any]:
    """A JSON object, given as text, as `@file`, or as `@-` for standard input.

    Raises:
        CallerMistake: no file, no JSON, or no object.
    """
    try:
        said = _source(text)
        if text == "@-" and not said.strip():
            raise CallerMistake(f"{what} @-: standard input is empty. Write a JSON object to it.")
        found = json.loads(said)
    except OSError as error:
        raise CallerMistake(f"{what}: {text[1:]} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise CallerMistake(f"{what} is no JSON: {error}. {_cure(text, what)}") from None
    if not isinstance(found, dict):
        raise CallerMistake(f"{what} is a {type(found).__name__}; a JSON object is needed.")
    return found


def read_input(text: str, *, what: str) -> dict[str, Any]:
    """As `read_object`, and `name=value` is taken too.

    Raises:
        CallerMistake: it is neither.
    """
    return read_pairs([text]) if _PAIR.match(text) else read_object(text, what=what)


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`name=value` pairs; a value that is JSON is taken as JSON, any other as text.

    Raises:
        CallerMistake: a pair without `=`.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CallerMistake(f"{pair!r:.80} is no name=value. Write for example {name or 'vendor'}=acme.")
        found[name] = _value(value)
    return found


def edited(
    asked: ApprovalRequest, pairs: Iterable[str], whole: dict[str, Any] | None, *, by: str, comment: str = ""
) -> dict[str, Any]:
    """The answer "with these arguments": what was asked, or `whole`, with `name=value` pairs read by their types.

    Raises:
        CallerMistake: a pair that names no argument, or is not what it takes.
    """
    from gatepost.state.approval import Decision
    from gatepost.state.form import typed

    # What happened is no argument: its type is that of the tool's result, which the tool checks itself.
    changes = read_pairs(pairs) if asked.kind == "doubt" else typed(asked.args_schema, pairs)
    wanted = {**(asked.args if whole is None else whole), **changes}
    return Decision(approval=asked.id, type="edit", by=by, comment=comment, args=wanted).plain()


def read_duration(text: str) -> timedelta:
    """`500ms`, `30s`, `5m`, `2h` or `1d`; a number without a unit is in seconds.

    Raises:
        CallerMistake: it is none, or nothing.
    """
    found = _DURATION.fullmatch(text.strip())
    length = timedelta() if found is None else float(found[1]) * _UNITS[found[2] or "s"]
    if not timedelta() < length <= LONGEST:
        raise CallerMistake(f"{text!r} is no length of time. Write 500ms, 30s, 5m or 2h.")
    return length


def _source(text: str) -> str:
    if not text.startswith("@"):
        return text
    return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")


def _cure(text: str, what: str) -> str:
    if text.startswith("@"):
        return f"Correct {'what is written to it' if text == '@-' else text[1:]}."
    if Path(text).suffix and not text.lstrip().startswith(("{", "[")):
        return f"A file is named so: {what} @{text}"
    return "Quote it for the shell: '{\"name\": 1}'."


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
