"""Tries to break the address: every way in which a database does not answer, addresses that cannot be read, and
above all a password that shows up in a message, a repr or a traceback.
"""

from __future__ import annotations

import socket
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gatepost.checkpointing.address import Address, check, resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.server_home import Place
from gatepost.state.errors import DatabaseUnavailable

SECRET = "hunter2-hush"  # noqa: S105  it must never be seen


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        yield Path(folder) / "home"
        stop_server(Path(folder) / "home")


@pytest.fixture
def server(home: Path) -> str:
    return ensure_server(home)


@pytest.fixture(autouse=True)
def no_address_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEPOST_DATABASE_URL", "PGOPTIONS", "PGCONNECT_TIMEOUT", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)


def complaint(given: str) -> str:
    """Everything a user could see of the failure: the message and the traceback with its chain."""
    with pytest.raises(DatabaseUnavailable) as caught:
        check(resolve(given))
    seen = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in seen
    return str(caught.value)


def options(address: Address) -> str:
    return str(conninfo_to_dict(address.app)["options"])


def test_argument_comes_before_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPOST_DATABASE_URL", "postgresql://host/second")
    assert resolve("postgresql://host/first").owner == "postgresql://host/first"
    assert resolve().owner == "postgresql://host/second"
    assert not resolve().embedded


def test_embedded_database_is_made_once_for_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPOST_HOME", str(home))
    with ThreadPoolExecutor(8) as resolvers:
        told = [future.result().owner for future in [resolvers.submit(resolve) for _ in range(8)]]
    assert set(told) == {resolve().owner}
    assert resolve().embedded
    assert conninfo_to_dict(told[0])["dbname"] == "gatepost"


def test_application_acts_as_its_role_and_keeps_the_users_options() -> None:
    address = resolve("host=h options='-c statement_timeout=7s -c role=postgres'")
    assert options(address).rindex("-c statement_timeout=7s -c role=postgres ") > options(address).index("=30s")
    assert options(address).endswith("-c role=gatepost_app")  # the last one counts


def test_application_keeps_the_options_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=7s")
    assert "-c statement_timeout=7s " in options(resolve("host=h"))
    assert "statement_timeout=7s" not in options(resolve("host=h options='-c geqo=off'"))


def test_last_role_of_the_options_counts(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE gatepost_app NOLOGIN")
    with psycopg.connect(resolve(make_conninfo(server, options="-c role=postgres")).app) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("gatepost_app",)
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT current_user").fetchone() == ("gatepost_app",)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP ROLE gatepost_app")


@pytest.mark.parametrize(
    "given",
    [
        f"postgresql://me:{SECRET}@host/db?sslpassword={SECRET}",
        f"postgresql://host/db?user=me&password={SECRET}",
        f"host=host dbname=db user=me password={SECRET}",
    ],
)
def test_password_is_not_shown(given: str) -> None:
    address = resolve(given)
    assert SECRET not in repr(address) + str(address) + address.shown
    assert "user=me" in address.shown
    assert conninfo_to_dict(address.app)["password"] == SECRET


@pytest.mark.parametrize(
    "given",
    [
        f"postgresql://me:p%{SECRET}@host/db",
        f"postgresql://me:a@{SECRET}@host/db",
        f"postgresql://me:a/{SECRET}@host/db",
        f"postgresql://me:12/{SECRET}@host/db",
        f"postgresql://me:a:{SECRET}/b@host/db",
        f"postgresql://me:{SECRET}@[::1/db",
        f"host=h password=a {SECRET}",
        f"host=h password='{SECRET}",
        f"host=h passwort={SECRET}",
        f"mysql://me:{SECRET}@host/db",
        SECRET,
    ],
)
def test_address_that_cannot_be_read(given: str) -> None:
    assert "postgresql://user:password@host:5432/database" in complaint(given)


def test_nothing_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        told = complaint(f"postgresql://me:{SECRET}@127.0.0.1:{reserved.getsockname()[1]}/db")
    assert told.startswith("nothing listens at")


def test_no_server_at_the_socket(tmp_path: Path) -> None:
    assert complaint(f"host={tmp_path} password={SECRET}").startswith("no server has its socket at")


def test_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        told = complaint(f"postgresql://me:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2")
    assert told.startswith("no answer in time from")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("reply", "more", "said"),
    [
        pytest.param(b"HTTP/1.0 400 Bad Request\r\n\r\n", "", "what listens there is no PostgreSQL:", id="speaks HTTP"),
        pytest.param(b"HTTP/1.0 400", "?sslmode=disable", "what listens there is no PostgreSQL:", id="without TLS"),
        pytest.param(b"", "", "what listens there hung up", id="hangs up"),
    ],
)
def test_what_listens_is_no_postgres(reply: bytes, more: str, said: str) -> None:
    """It was called a disagreement about TLS, because libpq begins with a question about that."""
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as listener:
        address = f"postgresql://me:{SECRET}@127.0.0.1:{other.getsockname()[1]}/db{more}"
        told = listener.submit(complaint, address)
        while not told.done():
            with suppress(TimeoutError):
                other.settimeout(0.1)
                caller, _ = other.accept()
                with caller:
                    caller.recv(1024)
                    caller.sendall(reply)
    assert told.result().startswith(said)


def test_wait_is_bounded_unless_the_user_did(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(conninfo: str, **_: object) -> None:
        asked.append(conninfo)
        raise psycopg.OperationalError

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    for given in ("host=h", "host=h connect_timeout=60"):
        with pytest.raises(DatabaseUnavailable):
            check(resolve(given))
    assert [conninfo_to_dict(conninfo)["connect_timeout"] for conninfo in asked] == ["5", "60"]


def test_unknown_host() -> None:
    assert complaint(f"postgresql://me:{SECRET}@no-such-host.invalid/db").startswith("the host name is not known")


def test_unknown_database(server: str) -> None:
    told = complaint(make_conninfo(server, dbname="nowhere", password=SECRET))
    assert told.startswith("the database does not exist at")
    assert "dbname=nowhere" in told


def test_unknown_user(server: str) -> None:
    assert complaint(make_conninfo(server, user="nobody_here")).startswith("the user is unknown at")


def test_unprepared_database(server: str) -> None:
    told = complaint(resolve(server).app)
    assert told.startswith("the database is not prepared at")
    assert told.endswith("run `gatepost migrate`")


def test_wrong_password(home: Path, server: str) -> None:
    rules = Place.of(home).data / "pg_hba.conf"
    rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        connection.execute("SELECT pg_reload_conf()")
    locked = make_conninfo(server, user="locked", password=SECRET)
    deadline = time.monotonic() + 10
    while _answers(locked):  # until the server has read its rules again
        assert time.monotonic() < deadline
    assert complaint(locked).startswith("user or password is wrong for")
    assert complaint(make_conninfo(server, user="locked")).startswith("user or password is wrong for")
    check(resolve(make_conninfo(server, user="locked", password="right")))  # noqa: S106


def _answers(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return False
    return True
