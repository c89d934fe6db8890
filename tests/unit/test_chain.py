"""The chain of an exported file: whatever is changed in it, the line is named; what was not changed verifies."""

from __future__ import annotations

import json

import pytest

from gatepost.state.chain import BEGINNING, HEADER, Broken, Chain, Verified, hash_of, verify

HOSTILE = 'tab\t, NUL-ish \x01, DEL \x7f, CSI \x9b, bidi \u202e, emoji 😀, quote " and \\'


@pytest.fixture
def lines() -> list[bytes]:
    chain = Chain()
    written = [chain.line(HEADER, {"run": "r1", "detail": {"b": 1, "a": [1.5, 1e21, -0.0, None, True]}})]
    written += [chain.line("step", {"run": "r1", "why": HOSTILE, "seq": number}) for number in range(3)]
    return [line.encode() for line in [*written, chain.end({"run": "r1"})]]


def test_what_was_written_verifies(lines: list[bytes]) -> None:
    found = verify(lines)
    assert found == Verified(lines=5, hash=hash_of(lines[-1].decode()), header=json.loads(lines[0]))
    assert json.loads(lines[1])["why"] == HOSTILE
    assert json.loads(lines[0])["prev"] == BEGINNING


def test_lines_are_printable_ascii(lines: list[bytes]) -> None:
    assert all(line.endswith(b"\n") and line[:-1].isascii() and line[:-1].decode().isprintable() for line in lines)


def test_every_single_changed_byte_is_named_by_its_line(lines: list[bytes]) -> None:
    whole = b"".join(lines)
    line = 1
    for place, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 0x20, 0x20, 0x0A} - {byte}:
            changed = whole[:place] + bytes([other]) + whole[place + 1 :]
            with pytest.raises(Broken) as broken:
                verify(changed.splitlines(keepends=True))
            assert broken.value.line == line, (place, byte, other, str(broken.value))
        line += byte == 0x0A


@pytest.mark.parametrize("gone", range(5))
def test_a_missing_line_is_named(lines: list[bytes], gone: int) -> None:
    assert broken_at([*lines[:gone], *lines[gone + 1 :]]) == gone + 1


@pytest.mark.parametrize("place", range(1, 6))
def test_an_inserted_line_is_named(lines: list[bytes], place: int) -> None:
    assert broken_at([*lines[:place], lines[place - 1], *lines[place:]]) == place + 1
    assert broken_at([*lines[:place], b"{}\n", *lines[place:]]) == place + 1


def test_two_lines_that_changed_places_are_named(lines: list[bytes]) -> None:
    assert broken_at([lines[0], lines[2], lines[1], *lines[3:]]) == 2


def test_a_cut_is_named(lines: list[bytes]) -> None:
    assert broken_at([]) == 1
    assert broken_at(lines[:3]) == 4
    assert broken_at([*lines[:2], lines[2][:40]]) == 3
    assert broken_at([*lines[:-1], lines[-1].rstrip(b"\n")]) == 5


def test_a_line_of_another_file_does_not_fit_in(lines: list[bytes]) -> None:
    chain = Chain()
    other = [chain.line(HEADER, {"run": "r2"}), chain.line("step", {"run": "r2"})]
    assert broken_at([lines[0], other[1].encode(), *lines[2:]]) == 2
    assert broken_at([chain_without_header()]) == 1


def chain_without_header() -> bytes:
    return Chain().line("step", {}).encode()


@pytest.mark.parametrize(
    "line", [b'"text"\n', b"[1]\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"n":1,"prev":"","hash":"","what":NaN}\n']
)
def test_what_is_no_line_at_all_is_named_and_does_not_raise_otherwise(lines: list[bytes], line: bytes) -> None:
    assert broken_at([lines[0], line, *lines[2:]]) == 2


def broken_at(lines: list[bytes]) -> int:
    with pytest.raises(Broken) as broken:
        verify(lines)
    return broken.value.line
