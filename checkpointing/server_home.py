"""The home folder of the embedded server: where its parts lie, whose they are, who may enter.

Below the home:

    server.lock  held while a process decides whether to start or stop
    server.log   what Postgres said
    data/        the cluster; made as `data.new-…` and renamed, so it is whole or absent
    socket/      the private folder of the socket, or a link to one with a shorter path

The data and the socket belong to the account that the server runs as, and nobody else may enter: the socket
trusts whoever reaches it. Every fault of the file system leaves here as a message with cause and cure.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from gatepost.state.errors import DatabaseUnavailable

MAJOR = 18
LONGEST_SOCKET_PATH = 103  # bytes; macOS has room for 103 and the closing NUL, Linux for 107
SYSTEM_ACCOUNT = "pgserver"
TAIL_LINES = 8

ELSEWHERE = "choose another folder by GATEPOST_HOME, or a PostgreSQL server by GATEPOST_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user that the server runs as; Postgres refuses root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of one home lie. `home` is absolute and free of links."""

    home: Path

    @classmethod
    def of(cls, home: Path) -> Place:
        """Return the place of a home as a user wrote it."""
        return cls(Path(os.path.realpath(home.expanduser())))

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What Postgres printed, oldest first."""
        return self.home / "server.log"

    @property
    def pid_file(self) -> Path:
        """Written by a running server, left behind by a killed one."""
        return self.data / "postmaster.pid"

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket, with the link followed that a long home needs."""
        return Path(os.path.realpath(self.home / "socket"))

    @property
    def guarded(self) -> bool:
        """Whether the socket's folder has the data's owner: a stranger could wait in the temporary folder."""
        try:
            return self.socket_folder.stat().st_uid == self.data.stat().st_uid
        except FileNotFoundError:
            return False

    @property
    def conninfo(self) -> str:
        """The superuser's address. The port is named because PGPORT would change it."""
        return make_conninfo(host=str(self.socket_folder), port=5432, user="postgres", dbname="postgres")


def find_account() -> Account:
    """Return the user that starts the server: the caller, or for root a system user of its own.

    Raises:
        DatabaseUnavailable: root, and the system user can be neither found nor made.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), str(os.geteuid()))
    try:
        entry = pwd.getpwnam(SYSTEM_ACCOUNT)
    except KeyError:
        entry = _made_account()
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _made_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", SYSTEM_ACCOUNT]
    try:
        # A failure can mean that another process was first, so the answer is looked up, not believed.
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603  a constant
        return pwd.getpwnam(SYSTEM_ACCOUNT)
    except (KeyError, OSError):
        message = (
            f"Postgres does not run as root, and the system user {SYSTEM_ACCOUNT!r} could not be made: "
            f"make it (useradd --system {SYSTEM_ACCOUNT}), or run as an ordinary user"
        )
        raise DatabaseUnavailable(message) from None


def open_home(place: Place, account: Account, programs: Path) -> None:
    """Make the socket's folder, and let the account reach it, the data and the programs.

    Raises:
        DatabaseUnavailable: a folder belongs to somebody else, is closed, or leaves no room for a socket.
    """
    if account.uid != os.geteuid():
        for folder in (place.home, *place.home.parents, programs, *programs.parents):
            _let_through(folder, account)
    check_cluster(place, account)
    _open_socket_folder(place, account)


def _let_through(folder: Path, account: Account) -> None:
    """Allow passing, never reading, and only where root decides: nobody else's home is opened."""
    status = folder.stat()
    needed = stat.S_IXUSR if status.st_uid == account.uid else stat.S_IXOTH
    if status.st_mode & needed:
        return
    if status.st_uid not in (0, account.uid):
        raise DatabaseUnavailable(
            f"the embedded server runs as user {account.name!r}, which may not pass {str(folder)!r}: "
            f"chmod o+x {folder}, run as its owner, or {ELSEWHERE}"
        )
    folder.chmod(stat.S_IMODE(status.st_mode) | needed)


def check_cluster(place: Place, account: Account) -> None:
    """Refuse a data folder of another user or another major version; a missing one is fine.

    Raises:
        DatabaseUnavailable: naming the folder, what is wrong with it and what to do.
    """
    if not place.data.exists():
        return
    owner = place.data.stat().st_uid
    if owner != account.uid:
        raise DatabaseUnavailable(
            f"the data folder {str(place.data)!r} belongs to {_user_name(owner)}, but the server runs as "
            f"{_user_name(account.uid)}: chown -R {account.uid}:{account.gid} {place.data}, "
            f"run as its owner, or {ELSEWHERE}"
        )
    _check_version(place)
    if stat.S_IMODE(place.data.stat().st_mode) & 0o077:
        place.data.chmod(0o700)  # a copy or an unpacked archive; Postgres refuses open folders


def _check_version(place: Place) -> None:
    marker = place.data / "PG_VERSION"
    version = marker.read_text().strip() if marker.exists() else ""
    if version == str(MAJOR):
        return
    if not version:
        raise DatabaseUnavailable(
            f"{str(place.data)!r} is not a data folder of PostgreSQL: move it away, or {ELSEWHERE}"
        )
    raise DatabaseUnavailable(
        f"the data folder {str(place.data)!r} was made by PostgreSQL {version}, this release runs {MAJOR}: "
        f"move the data over with pg_dumpall of version {version}, or {ELSEWHERE}"
    )


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"user id {uid}"


def _open_socket_folder(place: Place, account: Account) -> None:
    """Put the socket into the home, or behind a link from there when its path is too long or odd.

    The link is what makes every process find the same folder: TMPDIR differs between them.
    """
    inside = place.home / "socket"
    if _holds_socket(inside):
        if inside.is_symlink():
            inside.unlink()  # the home was moved to a shorter path
        return _claim(inside, account)
    if inside.is_symlink() and inside.exists():
        return _claim(inside.resolve(), account)
    for folder in short_socket_folders(place, account):
        if _holds_socket(folder):
            _claim(folder, account)
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside)  # the home was moved to a longer path
            inside.unlink(missing_ok=True)
            return inside.symlink_to(folder)
    raise DatabaseUnavailable(
        f"no unix socket fits below {str(place.home)!r} nor {tempfile.gettempdir()!r}: a socket's path has at "
        f"most {LONGEST_SOCKET_PATH} bytes; set TMPDIR to a shorter one, or {ELSEWHERE}"
    )


def short_socket_folders(place: Place, account: Account) -> list[Path]:
    """Return where the socket of a home with a long path may go, best first."""
    name = f"gatepost-{account.uid}-{hashlib.sha256(os.fsencode(place.home)).hexdigest()[:12]}"
    return [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]  # noqa: S108  claimed, or refused


def _holds_socket(folder: Path) -> bool:
    """Say whether a socket's path fits there; Postgres also splits its list of folders at commas."""
    path = os.fsencode(folder / ".s.PGSQL.5432")
    return len(path) <= LONGEST_SOCKET_PATH and not set(path) & set(b",\"'\\\n")


def _claim(folder: Path, account: Account) -> None:
    """Make the folder private to the account, or see that it is: the temporary folder is everybody's."""
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
            raise DatabaseUnavailable(
                f"the socket's folder {str(folder)!r} belongs to {_user_name(status.st_uid)} and not to "
                f"{_user_name(account.uid)}: remove it, or {ELSEWHERE}"
            ) from None
        folder.chmod(0o700)


@contextmanager
def faults_named(place: Place) -> Iterator[None]:
    """Turn a fault of the file system into a message with its cure."""
    try:
        yield
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"{_user_name(os.geteuid())} may not use {str(error.filename or place.home)!r} for the embedded server: "
            f"correct its owner or permissions, or {ELSEWHERE}"
        ) from error
    except OSError as error:
        raise failure(place, "the embedded server's home cannot be used", _told(error)) from error


def _told(error: OSError) -> str:
    return "No space left on device" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)


def failure(place: Place, what: str, said: str) -> DatabaseUnavailable:
    """Return the error for what Postgres or the file system said; at most its last lines are quoted."""
    if "No space left on device" in said:
        return DatabaseUnavailable(
            f"no space is left on the device of {str(place.home)!r}: free some (an empty cluster takes 50 MB), "
            f"or {ELSEWHERE}"
        )
    lines = "\n".join(f"  {line}" for line in said.splitlines()[-TAIL_LINES:])
    return DatabaseUnavailable(f"{what}; the last that was said:\n{lines}\nsee {str(place.log)!r}, or {ELSEWHERE}")
