"""The text of a policy set: which policy, and which of its conditions, stands on which line.

Cedar's messages name policies by a number and no place. So the text is cut into policies and their
conditions here; what they mean is asked of Cedar alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import cedarpy

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)|"(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|&&|\|\||[=!<>]=|::|.""", re.DOTALL
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


class Token(NamedTuple):
    """A word, a text, a sign."""

    text: str
    start: int


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a policy's conditions that can be true or false for itself."""

    kind: Literal["when", "unless"]
    text: str
    place: Place

    @property
    def alone(self) -> str:
        """A policy of nothing else: satisfied where the clause lets the whole policy be."""
        return f"permit (principal, action, resource) {self.kind} {{ {self.text} }};"


@dataclass(frozen=True, slots=True)
class Written:
    """One policy as it is written."""

    id: str
    """The `@id` that it declares, or Cedar's name for it."""
    text: str
    tokens: tuple[Token, ...]
    source: Source

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.tokens[0].start)

    @property
    def head(self) -> str:
        """The policy without annotations and conditions."""
        words = [token.text for token in self.tokens]
        first = next((i for i, word in enumerate(words) if word in ("permit", "forbid")), 0)
        last = _closing(self.tokens, first + 1)
        return self.source.text[self.tokens[first].start : self.tokens[last].start + 1]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """What each `when` needs, one by one, and what each `unless` must not meet."""
        return tuple(clause for kind, body in self._bodies() for clause in self._parts(kind, body))

    def find(self, *words: str) -> Place | None:
        """Where these words stand in a row."""
        rows = zip(*(self.tokens[i:] for i in range(len(words))), strict=False)
        for row in rows:
            if all(token.text in (word, f'"{word}"') for token, word in zip(row, words, strict=True)):
                return self.source.place(row[-1].start)
        return None

    def _bodies(self) -> Iterator[tuple[Literal["when", "unless"], Sequence[Token]]]:
        depth = 0
        for at, token in enumerate(self.tokens):
            if depth == 0 and token.text == "when" and self.tokens[at + 1 :]:
                yield "when", self.tokens[at + 2 : _closing(self.tokens, at + 1)]
            if depth == 0 and token.text == "unless" and self.tokens[at + 1 :]:
                yield "unless", self.tokens[at + 2 : _closing(self.tokens, at + 1)]
            depth += (token.text in _OPEN) - (token.text in _CLOSE)

    def _parts(self, kind: Literal["when", "unless"], body: Sequence[Token]) -> Iterator[Clause]:
        between, whole = ("&&", "||") if kind == "when" else ("||", "")
        outer = _outer(body)
        apart = [at for at in outer if body[at].text == between]
        if any(body[at].text in (whole, "if") for at in outer):
            apart = []
        for before, after in pairwise([-1, *apart, len(body)]):
            if part := body[before + 1 : after]:
                end = part[-1].start + len(part[-1].text)
                text = " ".join(self.source.text[part[0].start : end].split())
                if "//" not in text:
                    yield Clause(kind, text, self.source.place(part[0].start))
                else:
                    yield Clause(kind, " ".join(token.text for token in part), self.source.place(part[0].start))


class Source:
    """The text of one set.

    Args:
        text: Cedar policies.
        name: where they come from: a file, as a rule.
    """

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name

    def place(self, offset: int) -> Place:
        """The line and column of an offset."""
        before = self.text[:offset]
        return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def policies(self) -> tuple[Written, ...]:
        """The policies in their order; the last may be unfinished."""
        found: list[Written] = []
        tokens: list[Token] = []
        for token in _tokens(self.text):
            tokens.append(token)
            if token.text == ";":
                found.append(self._policy(tokens, len(found)))
                tokens = []
        return (*found, *([self._policy(tokens, len(found))] if tokens else []))

    def _policy(self, tokens: list[Token], number: int) -> Written:
        text = self.text[tokens[0].start : tokens[-1].start + len(tokens[-1].text)]
        declared = f"policy{number}"
        for at in range(len(tokens) - 4):
            if [token.text for token in tokens[at : at + 3]] == ["@", "id", "("] and tokens[at + 3].text[0] == '"':
                declared = tokens[at + 3].text[1:-1] or declared
        return Written(declared, text, tuple(tokens), self)


def unreadable(source: Source) -> tuple[Written, Place] | None:
    """The first policy that Cedar cannot read, and where it stumbles; Cedar itself names no place."""
    for written in source.policies():
        try:
            cedarpy.PolicySet.from_str(written.text)
        except ValueError as error:
            named = re.search(r"`([^`]+)`|: (\w+)$", str(error))
            word = (named[1] or named[2]) if named else ""
            return written, written.find(word) or written.place
    return None


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        if match["skip"] is None:
            yield Token(match[0], match.start())


def _outer(body: Sequence[Token]) -> list[int]:
    """The tokens outside of every bracket."""
    found, depth = [], 0
    for at, token in enumerate(body):
        depth -= token.text in _CLOSE
        if depth == 0:
            found.append(at)
        depth += token.text in _OPEN
    return found


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at].text in _OPEN) - (tokens[at].text in _CLOSE)
        if depth == 0:
            return at
    return len(tokens) - 1
