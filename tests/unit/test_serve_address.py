"""The address that people type: written as a browser writes it, or refused."""

from __future__ import annotations

import pytest

from gatepost.service.cli.serve import _address, _proxies
from gatepost.service.http.guard import hosts_of
from gatepost.state.errors import CallerMistake


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("https://Gatepost.example", "https://gatepost.example"),
        ("https://gatepost.example:443/", "https://gatepost.example"),
        ("http://gatepost.example:80", "http://gatepost.example"),
        ("https://gatepost.example:80", "https://gatepost.example:80"),
        ("https://gatepost.example:8443", "https://gatepost.example:8443"),
        ("https://[FD00::1]:443", "https://[fd00::1]"),
    ],
)
def test_an_address_is_what_a_browser_calls_the_origin_of_its_pages(typed: str, origin: str) -> None:
    assert _address(typed) == origin


@pytest.mark.parametrize(
    "typed", ["gatepost.example", "ftp://x", "https://", "https://x/a", "https://u:p@x", "https://x:y", "https://[x"]
)
def test_what_is_no_address_of_a_service_is_refused(typed: str) -> None:
    with pytest.raises(CallerMistake, match="no address of a service"):
        _address(typed)


def test_a_proxy_is_named_by_its_own_address() -> None:
    assert _proxies(["10.0.0.9", "FD00:0::1"]) == ["10.0.0.9", "fd00::1"]
    for typed in ("10.0.0.0/8", "10.0.0.9,10.0.0.8", "proxy.example"):
        with pytest.raises(CallerMistake, match="its own address"):
            _proxies([typed])


def test_a_service_answers_to_the_address_that_it_is_bound_to_as_a_browser_writes_it() -> None:
    assert "[fd00::1]" in hosts_of("FD00::1", None)
    for everywhere in ("0.0.0.0", "::", ""):  # noqa: S104 (left out)
        assert hosts_of(everywhere, None) == hosts_of("127.0.0.1", None)
