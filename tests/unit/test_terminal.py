"""Tries to get text past the escaping that would move a cursor, hide a line, forge one, or turn the direction; and an
artifact out of its folder.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gatepost.service import grid, terminal
from gatepost.service.artifacts import file_name, save

HOSTILE = [
    ("\x1b[2J", r"\x1b[2J"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("\x9b31m", r"\x9b31m"),
    ("a\rb", r"a\rb"),
    ("a\x00b", r"a\x00b"),
    ("a\x08b\x7f", r"a\x08b\x7f"),
    ("\u202eevil", r"\u202eevil"),
    ("\u2066a\u2069", r"\u2066a\u2069"),
    ("\u200b\ufeff\u00ad", r"\u200b\ufeff\xad"),
    ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
    ("\ud800", r"\ud800"),
    ("\U000e0041", r"\U000e0041"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_drives_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert terminal.safe(text) == terminal.one_line(text) == shown


@pytest.mark.parametrize(
    ("value", "text", "line"),
    [
        ("plain ✓ ä 漢字 👍", "plain ✓ ä 漢字 👍", "plain ✓ ä 漢字 👍"),
        ("a\nb\tc", "a\nb\tc", r"a\nb\tc"),
        (None, "None", "None"),
        (7, "7", "7"),
        (
            datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-01T10:00:00.000Z",
            "2026-01-01T10:00:00.000Z",
        ),
        ("", "", ""),
    ],
)
def test_harmless_text_stays(value: object, text: str, line: str) -> None:
    assert (terminal.safe(value), terminal.one_line(value)) == (text, line)


@given(st.text(st.characters()))
def test_nothing_unseen_gets_through(text: str) -> None:
    shown = terminal.one_line(text)
    assert shown.isprintable() or all(
        unicodedata.category(mark) in ("Cn", "Co", "Zs") for mark in shown if not mark.isprintable()
    )
    assert len(shown.splitlines()) <= 1


@given(st.text(st.characters()))
def test_json_means_the_same_and_drives_nothing(text: str) -> None:
    written = terminal.json_text({text: [text]}, indent=2)
    assert json.loads(written) == {text: [text]}
    assert all(mark == "\n" or terminal.one_line(mark) == mark for mark in written)


def test_json_knows_times() -> None:
    assert json.loads(terminal.json_text({"at": datetime.fromtimestamp(0, tz=UTC)})) == {
        "at": "1970-01-01T00:00:00.000Z"
    }


def test_table_in_a_pipe_has_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("a", "b"), [("x\ty", None), ("1\n2", "\x1b[31m")], empty="none")
    assert capsys.readouterr().out == "a\tb\nx\\ty\t\n1\\n2\t\\x1b[31m\n"


def test_empty_table_says_so_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("a", "b"), [], empty="none yet")
    assert tuple(capsys.readouterr()) == ("", "none yet\n")


def test_complaint_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain("error", "no\n[step] paid=ok\r\n[bold]x[/]")
    assert capsys.readouterr().err == "error: no\n  [step] paid=ok\\r\n  [bold]x[/]\n"


def test_log_line_cannot_forge_another(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.log_line("[step] a=b\n[step] paid=ok\x1b[1A")
    assert capsys.readouterr().out == "[step] a=b\\n[step] paid=ok\\x1b[1A\n"


def test_screen_that_knows_few_letters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w", encoding="ascii", errors="backslashreplace") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        terminal.say("✓ fine")
    assert (tmp_path / "screen").read_text() == "\\u2713 fine\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("decision.json", "decision.json"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        (".bashrc", "bashrc"),
        ("..", "artifact"),
        ("", "artifact"),
        ("a\x00b\n\x1b[2J", "a_b___2J"),
        ("größe 漢.txt", "größe 漢.txt"),
        ("C:\\x", "C__x"),
        (300 * "x", 200 * "x"),
        (300 * "漢", 66 * "漢"),
    ],
)
def test_artifact_as_a_file_name(name: str, shown: str) -> None:
    assert file_name(name) == shown


def test_artifacts_whose_names_would_be_one_file_are_two(tmp_path: Path) -> None:
    rows = [{"name": name, "content": name} for name in ("a/b", "a_b", "a\\b", "a/b")]
    saved = save(tmp_path / "r1", rows)
    assert {path.name: path.read_text() for path in saved} == {"a_b": "a/b", "2_a_b": "a_b", "3_a_b": "a\\b"}


def test_newest_version_is_saved_with_exactly_its_bytes(tmp_path: Path) -> None:
    (saved,) = save(tmp_path, [{"name": "a", "content": "old"}, {"name": "a", "content": "ä\r\nnew"}])
    assert saved.read_bytes() == "ä\r\nnew".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_to_save_makes_no_folder(tmp_path: Path) -> None:
    assert save(tmp_path / "r1", []) == []
    assert list(tmp_path.iterdir()) == []


WORDS = st.text(st.sampled_from("ab漢 "), max_size=60)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=1, max_size=5)),
       st.integers(1, 120))  # fmt: skip
def test_a_grid_breaks_no_word_and_fits_the_terminal(rows: list[list[str]], room: int) -> None:
    heads = [f"h{number}" for number in range(len(rows[0]))]
    wide = grid.widths(heads, rows, room=room)
    if wide is None:
        return
    assert sum(wide) + grid.GAP * (len(wide) - 1) <= room
    for row in rows:
        for cell, width in zip(row, wide, strict=True):
            assert all(cell_len(word) <= width or cell_len(word) > grid.LONGEST for word in cell.split())


def test_a_terminal_that_is_too_narrow_for_its_ids_shows_records() -> None:
    row = ["apr_4d0ee3bbb32a", "run_b6710d265005", "2026-11-21 23:18:31Z", "", "no policy lets charge run unattended"]
    heads = ["approval", "run", "since", "until", "why"]
    assert grid.widths(heads, [row], room=200) == [16, 16, 20, 5, 36]
    assert grid.widths(heads, [row], room=60) is None
    assert grid.record(heads, row)[0] == ("approval  ", "apr_4d0ee3bbb32a")
    assert "until     " not in dict(grid.record(heads, row))


def test_a_list_that_is_cut_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("id",), [("a",), ("b",)], empty="none", limit=1)
    terminal.as_json(["a", "b"], limit=1)
    said = capsys.readouterr()
    assert said.out == 'id\na\n[\n  "a"\n]\n'
    assert said.err.count("there are more than these 1") == 2
