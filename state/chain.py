"""Chained lines: records as lines of a file of which none can be changed, left out, put in or moved unseen.

Each line carries its number, the hash of the line before it, and its own: SHA-256 over the RFC 8785 form of
everything else in it. The last line says that it is the last, so a cut is seen, too. Whoever can write the
whole file anew can make another chain: only the last hash, kept elsewhere, shows that. The idea of the
linked hashes is that of Haber and Stornetta ("How to time-stamp a digital document", 1991).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gatepost.state.canonical import canonical
from gatepost.state.values import JsonValue

BEGINNING = "0" * 64
"""What the first line has as the hash of the line before it."""
HEADER = "header"
END = "end"
_OURS = {"n", "prev", "hash"}
_BEYOND = re.compile(r"[^\x20-\x7e]")


class Broken(ValueError):
    """A file that is not as it was written.

    Args:
        line: the first line that shows it, counted from 1.
        why: what is wrong with it.
    """

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that is as it was written."""

    lines: int
    hash: str
    """Of the last line: stands for the whole file."""
    header: Mapping[str, Any]


class Chain:
    """Writes lines, each of which holds the hash of the one before. The first has to be a header."""

    def __init__(self) -> None:
        self._written = 0
        self.hash = BEGINNING

    def line(self, what: str, record: Mapping[str, JsonValue]) -> str:
        """The next line, with its line break.

        Args:
            what: the kind of the record; readers pass over kinds that they do not know.
            record: plain data without the names `n`, `prev`, `hash` and `what`.
        """
        self._written += 1
        body: dict[str, JsonValue] = {**record, "what": what, "n": self._written, "prev": self.hash}
        self.hash = _hash(body)
        return _text({**body, "hash": self.hash}) + "\n"

    def end(self, record: Mapping[str, JsonValue]) -> str:
        """The last line, which says how many there are, itself included."""
        return self.line(END, {**record, "lines": self._written + 1})


def verify(lines: Iterable[bytes]) -> Verified:
    """Check a file as it is read: lines with their line breaks, in one pass, in constant memory.

    Raises:
        Broken: naming the first line that is not as it was written, and how.
    """
    number, before, header, closed = 0, BEGINNING, None, False
    for number, line in enumerate(lines, start=1):
        if closed:
            raise Broken(number, "stands after the line that was the last; it was put in")
        record = _parsed(number, line)
        _placed(number, before, record)
        closed, before = record["what"] == END, record["hash"]
        header = record if header is None else header
        if closed and record.get("lines") != number:
            raise Broken(number, f"says that there are {record.get('lines')} lines")
        if header["what"] != HEADER:
            raise Broken(number, "is no header; the beginning of the file is missing")
    if header is None:
        raise Broken(1, "is missing: the file is empty")
    if not closed:
        raise Broken(number + 1, "is missing: the file was cut off, or its writer died")
    return Verified(lines=number, hash=before, header=header)


def _parsed(number: int, line: bytes) -> dict[str, Any]:
    """A line that is byte by byte what its writer would write."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise Broken(number, "is no JSON; it was changed or cut off") from None
    if not isinstance(record, dict) or not record.keys() >= {*_OURS, "what"}:
        raise Broken(number, "is no line of an export; it was changed or put in")
    try:
        expected = _hash({name: value for name, value in record.items() if name != "hash"})
        written = f"{_text(record)}\n".encode()
    except (ValueError, RecursionError):
        raise Broken(number, "holds what cannot have been written; it was changed") from None
    if record["hash"] != expected:
        raise Broken(number, "was changed: its content and its hash do not fit")
    if written != line:
        raise Broken(number, "has other bytes than were written (spaces, line breaks or escapes)")
    return record


def _placed(number: int, before: str, record: Mapping[str, Any]) -> None:
    written = record["n"]
    if written != number:
        how = "lines before it are missing or moved" if written > number else "it was put in, repeated or moved"
        raise Broken(number, f"was written as line {written}; {how}")
    if record["prev"] != before:
        raise Broken(number, "does not follow the line before it; one of the two is of another file")


def _hash(body: Mapping[str, JsonValue]) -> str:
    return hashlib.sha256(canonical(dict(body))).hexdigest()


def _text(record: Mapping[str, JsonValue]) -> str:
    """RFC 8785, with everything beyond printable ASCII as an escape: safe for terminals, mails and diffs."""
    return _BEYOND.sub(_escape, canonical(dict(record)).decode())


def _escape(mark: re.Match[str]) -> str:
    return "\\u007f" if mark[0] == "\x7f" else json.dumps(mark[0])[1:-1]


def hash_of(line: str) -> str:
    """The hash in a line that `Chain` wrote: of the last line it stands for the whole file."""
    found: str = json.loads(line)["hash"]
    return found
