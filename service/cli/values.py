"""Values on the command line: `name=value`, JSON, or `@file`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatepost.state.errors import CallerMistake


def read_object(text: str, *, what: str) -> dict[str, Any]:
    """A JSON object, given as text or as `@file`.

    Raises:
        CallerMistake: no file, no JSON, or no object.
    """
    try:
        source = Path(text[1:]).read_text() if text.startswith("@") else text
        found = json.loads(source)
    except OSError as error:
        raise CallerMistake(f"{what}: {text[1:]} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise CallerMistake(f"{what} is no JSON: {error}. Quote it for the shell: '{{\"name\": 1}}'.") from None
    if not isinstance(found, dict):
        raise CallerMistake(f"{what} is a {type(found).__name__}; a JSON object is needed.")
    return found


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`name=value` pairs; a value that is JSON is taken as JSON, any other as text.

    Raises:
        CallerMistake: a pair without `=`.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CallerMistake(f"{pair!r} is no name=value.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
