"""Names that look alike: a tool that a person takes for another one when an approval shows it.

A plan names tools exactly or is refused; this says why a name that looks right is not, and keeps two
tools of one workflow from looking alike in the first place. Folded by Unicode's compatibility forms
and case, without blanks and invisible characters; the letters of other scripts that look like Latin
ones are those of Unicode's confusables (UTS #39) that occur in words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from gatepost.nodes.tool import ToolMistake

_LETTERS: Mapping[str, tuple[int, ...]] = {
    "a": (0x0430, 0x03B1, 0x0251), "b": (0x0432,), "c": (0x0441,), "d": (0x0501,), "e": (0x0435, 0x03B5),
    "g": (0x0261,), "h": (0x04BB, 0x043D), "i": (0x0456, 0x03B9, 0x0131), "j": (0x0458,), "k": (0x043A, 0x03BA),
    "l": (0x04CF, 0x0031), "m": (0x043C,), "o": (0x043E, 0x03BF, 0x0030), "p": (0x0440, 0x03C1), "q": (0x051B,),
    "s": (0x0455,), "t": (0x0442, 0x03C4), "u": (0x03C5,), "v": (0x03BD,), "w": (0x051D,), "x": (0x0445, 0x03C7),
    "y": (0x0443,),
}  # fmt: skip
"""Latin letters, and what of other scripts (and which digits) look like them."""
_SAME = {code: latin for latin, codes in _LETTERS.items() for code in codes}
_INVISIBLE = frozenset({"Cf", "Cc", "Mn", "Zs", "Zl", "Zp"})


def folded(name: str) -> str:
    """What a name looks like."""
    apart = unicodedata.normalize("NFKD", name.strip()).casefold()
    kept = "".join(mark for mark in apart if unicodedata.category(mark) not in _INVISIBLE and mark not in "_-.")
    return kept.translate(_SAME).replace("rn", "m")


def lookalike(name: str, known: Iterable[str]) -> str:
    """What is wrong with a name that only looks like a known one; empty when it looks like none."""
    for right in known:
        if name != right and folded(name) == folded(right):
            return f"it only looks like {right!r}: it holds {_strange(name, right)}"
    return ""


def refuse_lookalikes(names: Iterable[str], *, workflow: str) -> None:
    """Check that no two tools of a workflow look alike.

    Raises:
        ToolMistake: two do.
    """
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(folded(name), name)) != name:
            raise ToolMistake(
                f"workflow {workflow!r}: the tools {other!r} and {name!r} look alike, and whoever approves one may "
                "take it for the other. Give one another name."
            )


def _strange(name: str, right: str) -> str:
    marks = [mark for mark in dict.fromkeys(name) if mark not in right]
    told = [f"U+{ord(mark):04X} {unicodedata.name(mark, 'without a name')}" for mark in marks[:3]]
    return ", ".join(told) or "the same letters in another order or number"
