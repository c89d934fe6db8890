"""The example services as a real process over real HTTP: booked, keyed, faulty on demand, outliving.

Nothing sleeps: a test waits for a request to be held, for a line of output or for a process to end.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatepost.examples.services import (
    ADDITIONAL_KINDS,
    VENDOR,
    Evidence,
    Services,
    ServicesNotStarted,
    ensure_services,
    stop_services,
)
from gatepost.examples.services.address import Address
from gatepost.examples.services.book import Book, Effect

_MODULE = [sys.executable, "-m", "gatepost.examples.services"]
_ENSURE = """
import os, sys
from pathlib import Path
from gatepost.examples.services import ensure_services
print(ensure_services(Path(sys.argv[1]), environ=os.environ), flush=True)
sys.stdin.read()
"""


@contextmanager
def _process(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A child with the first line that it prints; killed at the end, by its own handle."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


def _serving(book: Path, *more: str) -> Any:
    return _process([*_MODULE, "--book", str(book), "--idle-exit", "60", *more])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _serving(tmp_path_factory.mktemp("services") / "book.sqlite") as (_, url):
        yield url


@pytest.fixture
def services(url: str) -> Iterator[Services]:
    with Services(url) as services:
        yield services
        services.clear_faults()
        services.release()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_services(tmp_path)


def _charge(url: str, key: str | None, amount: str = "10.00") -> httpx.Response:
    """A charge with the response as it came."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"customer": "c-1", "amount": amount}
    with httpx.Client(base_url=url, trust_env=False) as client:
        return client.post("/charges", json=body, headers=headers)


def test_documents_carry_the_checksum_of_their_content(services: Services) -> None:
    papers = services.documents(VENDOR)
    assert len(papers) == 4
    for paper in papers:
        assert paper["sha256"] == hashlib.sha256(paper["content"].encode()).hexdigest()


def test_additional_documents_come_only_when_asked_for(services: Services) -> None:
    assert not {paper["kind"] for paper in services.documents(VENDOR)} & set(ADDITIONAL_KINDS)
    papers = services.documents(VENDOR, kinds=ADDITIONAL_KINDS)
    assert {paper["kind"] for paper in papers} == set(ADDITIONAL_KINDS)


@pytest.mark.parametrize(
    ("vendor", "kinds", "status"), [("nobody", (), 404), ("a/b ü", (), 404), (VENDOR, ("diary",), 400)]
)
def test_unknown_vendors_and_kinds_are_refused(
    services: Services, vendor: str, kinds: tuple[str, ...], status: int
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        services.documents(vendor, kinds=kinds)
    assert caught.value.response.status_code == status
    assert caught.value.response.json()["detail"]


def test_screening_is_deterministic_and_demands_a_person(services: Services) -> None:
    papers = services.documents(VENDOR)
    screening = services.screen(VENDOR, documents=papers)
    assert screening == services.screen(VENDOR, documents=papers)
    assert (screening["risk"], screening["needs_approval"]) == ("medium", "manual approval")
    assert screening["findings"]
    assert screening["proposed_controls"]


def test_more_documents_lower_the_risk_and_still_need_a_person(services: Services) -> None:
    papers = services.documents(VENDOR) + services.documents(VENDOR, kinds=ADDITIONAL_KINDS)
    screening = services.screen(VENDOR, documents=papers)
    assert (screening["risk"], screening["needs_approval"]) == ("low", "manual approval")


def test_a_text_that_is_not_on_file_is_a_high_risk(services: Services) -> None:
    first, *others = services.documents(VENDOR)
    altered = Evidence(id=first["id"], sha256="0" * 64)
    assert services.screen(VENDOR, documents=[altered, *others])["risk"] == "high"


def test_a_decision_is_booked_once_per_key(services: Services) -> None:
    papers = services.documents(VENDOR)

    def decide() -> Any:
        return services.decide(
            VENDOR, decision="approved_with_controls", controls=["a"], evidence=papers, key="decide-1"
        )

    assert decide() == decide()
    books = services.books(vendor=VENDOR, key="decide-1")["decisions"]
    assert (books["attempts"], books["effects"], books["deduplicated"]) == (2, 1, 1)
    assert books["by_key"]["decide-1"]["statuses"] == [201, 201]


def test_reads_and_screenings_are_keyed_where_a_key_comes(services: Services) -> None:
    for _ in range(2):
        services.documents(VENDOR, key="read-1")
        services.screen(VENDOR, documents=[], key="screen-1")
    assert services.books(key="read-1")["documents"]["effects"] == 1
    assert services.books(key="screen-1")["screenings"]["effects"] == 1


def test_eight_at_once_under_one_key_have_one_effect(url: str, services: Services, pool: ThreadPoolExecutor) -> None:
    answers = list(pool.map(lambda _: _charge(url, "eight"), range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    books = services.books(key="eight")["charges"]
    assert (books["attempts"], books["effects"]) == (8, 1)


def test_a_repeat_while_the_first_is_running_is_a_conflict(
    url: str, services: Services, pool: ThreadPoolExecutor
) -> None:
    services.fault("/charges", kind="delay_before")
    first = pool.submit(_charge, url, "slow")
    assert [hold["key"] for hold in services.held(at_least=1)] == ["slow"]
    assert _charge(url, "slow").status_code == 409
    assert services.books(key="slow")["charges"]["effects"] == 0
    assert services.release(key="slow") == 1
    assert first.result().status_code == 201
    assert _charge(url, "slow").headers["Idempotent-Replayed"] == "true"


def test_a_request_held_before_its_act_still_acts_when_its_caller_is_gone(url: str, services: Services) -> None:
    services.fault("/charges", kind="delay_before")
    with Services(url, seconds=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.charge("c-1", amount="1", key="late")
    assert services.effect("late") is None
    assert services.release(key="late") == 1
    while services.effect("late") is None:
        """The held thread acts in its own time; nobody is told."""
    assert services.books(key="late")["charges"]["effects"] == 1


def test_a_key_for_another_request_is_refused(url: str, services: Services) -> None:
    assert _charge(url, "other", amount="1").status_code == 201
    assert _charge(url, "other", amount="2").status_code == 422
    with pytest.raises(httpx.HTTPStatusError) as caught:
        services.refund("c-1", amount="1", key="other")
    assert caught.value.response.status_code == 422
    assert services.books(key="other")["charges"]["effects"] == 1


def test_an_act_that_needs_a_key_is_refused_without(url: str, services: Services) -> None:
    assert _charge(url, None).status_code == 400
    assert _charge(url, "").status_code == 400


@pytest.mark.parametrize(
    "content", [b"{", b'{"amount": NaN}', b'"\\ud800"', b"[" * 100_000, b'{"customer": "c", "amount": "-1"}', b"[]"]
)
def test_nonsense_is_refused_and_leaves_the_key_free(url: str, content: bytes) -> None:
    key = f"nonsense-{len(content)}"
    headers = {"Idempotency-Key": key}
    answer = httpx.post(f"{url}/charges", content=content, headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert _charge(url, key).status_code == 201


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/charges", 405), ("POST", "/nowhere", 404)])
def test_a_wrong_door_is_booked_too(url: str, services: Services, method: str, path: str, status: int) -> None:
    before = services.books()["unknown"]["attempts"]
    assert httpx.request(method, url + path, trust_env=False).status_code == status
    assert services.books()["unknown"]["attempts"] == before + 1


def test_a_status_fault_is_used_up_and_has_no_effect(url: str, services: Services) -> None:
    services.fault("/charges", kind="status", times=2, status=429, retry_after="7")
    answers = [_charge(url, "throttled") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "7"
    books = services.books(key="throttled")["charges"]["by_key"]["throttled"]
    assert books == {"attempts": 3, "effects": 1, "deduplicated": 0, "statuses": [429, 429, 201]}


@pytest.mark.parametrize(("kind", "effects"), [("reset_before", 0), ("reset_after", 1)])
def test_a_cut_connection_leaves_what_was_done(url: str, services: Services, kind: Any, effects: int) -> None:
    services.fault("/charges", kind=kind)
    with pytest.raises(httpx.TransportError):
        _charge(url, kind)
    assert services.books(key=kind)["charges"]["effects"] == effects
    assert _charge(url, kind).status_code == 201
    assert services.books(key=kind)["charges"]["effects"] == 1


def test_a_hang_after_the_act_is_seen_and_released(url: str, services: Services, pool: ThreadPoolExecutor) -> None:
    services.fault("/charges", kind="hang_after")
    first = pool.submit(_charge, url, "hang")
    (hold,) = services.held(at_least=1)
    assert (hold["path"], hold["kind"]) == ("/charges", "hang_after")
    booked = services.effect("hang")
    assert _charge(url, "hang").json() == booked
    assert not first.done()
    assert services.release() == 1
    assert first.result().json() == booked
    assert services.held() == []


@pytest.mark.parametrize(
    "fault", [{"kind": "flood", "path": "/"}, {"kind": "status"}, {"kind": "status", "path": "/", "times": 0}]
)
def test_a_fault_that_makes_no_sense_is_refused(url: str, fault: dict[str, Any]) -> None:
    assert httpx.post(f"{url}/faults", json=fault, trust_env=False).status_code == 400


def test_keys_outlive_a_crash_after_the_act_and_a_restart(tmp_path: Path) -> None:
    book = tmp_path / "book.sqlite"
    with _serving(book) as (child, url):
        with Services(url) as services:
            services.fault("/charges", kind="crash_after")
            with pytest.raises(httpx.TransportError):
                services.charge("c-1", amount="10.00", key="once")
        assert child.wait(10) == 70
    with _serving(book, "--port", url.rsplit(":", 1)[1]) as (_, again), Services(again) as services:
        assert again == url
        recorded = services.effect("once")
        assert services.charge("c-1", amount="10.00", key="once") == recorded
        books = services.books(key="once")["charges"]
        assert (books["attempts"], books["effects"], books["deduplicated"]) == (2, 1, 1)


def test_the_book_itself_keeps_one_effect_per_key(tmp_path: Path) -> None:
    effect = Effect(
        key="k",
        at="t",
        endpoint="charges",
        path="/charges",
        vendor=None,
        fingerprint="a",
        status=201,
        response={"n": 1},
    )
    with ExitStack() as stack:
        books = [Book.open(tmp_path / "book.sqlite") for _ in range(2)]
        for book in books:
            stack.callback(book.close)
        first = books[0].record(effect)
        assert books[1].record(replace(effect, fingerprint="b", response={"n": 2})) == first


def test_an_idle_server_leaves_by_itself(tmp_path: Path) -> None:
    address = tmp_path / "address.json"
    more = ["--idle-exit", "0.1", "--address-file", str(address)]
    with _serving(tmp_path / "book.sqlite", *more) as (child, url):
        assert url.startswith("http://127.0.0.1:")
        assert child.wait(10) == 0
    assert not address.exists()


def test_services_outlive_the_kill_of_their_starter(home: Path) -> None:
    with _process([sys.executable, "-c", _ENSURE, str(home)]) as (starter, url):
        os.killpg(starter.pid, signal.SIGKILL)
        assert starter.wait(10) == -signal.SIGKILL
        with Services(url) as services:
            services.charge("c-1", amount="1", key="k")
    assert ensure_services(home, environ=os.environ) == url
    assert stop_services(home)
    again = ensure_services(home, environ=os.environ)
    with Services(again) as services:
        assert services.books()["charges"]["effects"] == 1


def test_two_starters_at_once_start_one(home: Path) -> None:
    command = [sys.executable, "-c", _ENSURE, str(home)]
    with ExitStack() as stack:
        children = [stack.enter_context(subprocess.Popen(command, stdin=-1, stdout=-1, text=True)) for _ in range(2)]
        urls = {child.communicate()[0].strip() for child in children}
    address = Address.read(home / "example-services.json")
    assert address is not None
    assert urls == {address.url}
    # Every process that serves says so there, also one that nobody finds any more.
    assert (home / "example-services.log").read_text().splitlines() == [address.url]


def test_a_stranger_at_the_old_address_is_not_taken_for_ours(home: Path, url: str) -> None:
    Address(url, instance="gone", pid=1).write(home / "example-services.json")
    assert not stop_services(home)
    assert ensure_services(home, environ=os.environ) != url


def test_a_named_url_is_taken_and_nothing_started(tmp_path: Path) -> None:
    environ = {"GATEPOST_EXAMPLE_SERVICES": "http://127.0.0.1:9/"}
    assert ensure_services(tmp_path / "home", environ=environ) == "http://127.0.0.1:9"
    assert not (tmp_path / "home").exists()


def test_services_that_cannot_start_say_why(tmp_path: Path) -> None:
    (tmp_path / "example-services.sqlite").mkdir()
    with pytest.raises(ServicesNotStarted, match=r"(?s)GATEPOST_EXAMPLE_SERVICES.*unable to open"):
        ensure_services(tmp_path, environ=os.environ)
