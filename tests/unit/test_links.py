"""Links for mail and chat as texts: what one says comes back as it was said, and from no other text at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gatepost.checkpointing.links import Link
from gatepost.service.http import links, seal
from gatepost.state.errors import CallerMistake

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32
BASE = "https://gatepost.example"


def made(*, keys: tuple[bytes, ...] = (NEW,), lasts: timedelta = links.LASTS) -> str:
    address = links.link_for(
        "apr_1", tenant="local", principal="bob", digest="d" * 64, now=NOW, keys=keys, base=f"{BASE}/", lasts=lasts
    )
    assert address.startswith(f"{BASE}{links.PATH}")
    return address.removeprefix(f"{BASE}{links.PATH}")


def test_a_link_says_for_whom_it_is_and_what_it_answers() -> None:
    said = links.opened(made(), now=NOW, keys=[NEW])
    assert said is not None
    assert said == Link(said.link, "apr_1", "local", "bob", "d" * 64, NOW)
    assert said.link not in made()


def test_a_link_with_one_other_byte_or_one_less_or_more_is_none() -> None:
    text = made()
    for at in range(len(text)):
        for other in {"A", "B", ".", "_", "\0", "é"} - {text[at]}:
            assert links.opened(text[:at] + other + text[at + 1 :], now=NOW, keys=[NEW]) is None, at
        assert links.opened(text[:at] + text[at + 1 :], now=NOW, keys=[NEW]) is None
        assert links.opened(text[:at] + "A" + text[at:], now=NOW, keys=[NEW]) is None
    assert links.opened(text, now=NOW, keys=[NEW]) is not None
    for nothing in ("", ".", "..", "A" * links.LONGEST_TEXT * 2):
        assert links.opened(nothing, now=NOW, keys=[NEW]) is None


def test_a_link_is_over_in_time_and_with_its_key() -> None:
    text = made(keys=(OLD,), lasts=timedelta(hours=1))
    assert links.opened(text, now=NOW + timedelta(minutes=59), keys=[NEW, OLD]) is not None
    assert links.opened(text, now=NOW + timedelta(hours=1), keys=[NEW, OLD]) is None
    assert links.opened(text, now=NOW, keys=[NEW]) is None
    assert links.opened(text, now=NOW, keys=[]) is None
    assert links.opened(made(keys=(NEW, OLD)), now=NOW, keys=[NEW]) is not None


def test_what_was_sealed_for_something_else_is_no_link() -> None:
    cookie = seal.sealed("session", {"key": "key_1", "nonce": "n"}, until=NOW + timedelta(hours=1), secret=NEW)
    assert links.opened(cookie, now=NOW, keys=[NEW]) is None
    assert seal.opened("session", made(), now=NOW, secrets=[NEW]) is None


def test_keys_come_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "link.keys"
    file.write_text(f"# the new one\n{'n' * 32}\n{'o' * 32}  # until May\n")
    assert links.read_keys({links.KEYS_FILE: str(file)}) == (NEW, OLD)
    assert links.read_keys({links.KEYS: f"{'n' * 32},{'o' * 32}"}) == (NEW, OLD)
    assert links.read_keys({}) == ()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({links.KEYS: "short"}, "key 1 .* could be guessed"),
        ({links.KEYS: "n" * 32, links.KEYS_FILE: "/x"}, "Leave one out"),
        ({links.KEYS_FILE: "/nowhere/link.keys"}, "No such file.*Correct GATEPOST_LINK_KEYS_FILE"),
        ({links.KEYS_FILE: "/dev/null"}, "holds no key"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_and_never_shown(environ: dict[str, str], said: str) -> None:
    with pytest.raises(CallerMistake, match=said) as refused:
        links.read_keys(environ)
    assert "n" * 32 not in str(refused.value)


@pytest.mark.parametrize("lasts", [timedelta(), links.LONGEST + timedelta(seconds=1)])
def test_a_link_lasts_for_some_time_and_not_for_ever(lasts: timedelta) -> None:
    with pytest.raises(CallerMistake, match="30 days"):
        made(lasts=lasts)


def test_without_a_key_it_is_said_how_to_get_one() -> None:
    with pytest.raises(CallerMistake, match=r"no key is configured.*GATEPOST_LINK_KEYS_FILE"):
        made(keys=())
