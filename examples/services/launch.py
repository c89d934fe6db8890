"""Finding the example services, or starting them: one process for everyone who shares a home.

The process has a session of its own, so it outlives a `kill -9` of whoever started it. A file
lock makes two callers at once start one; the books in the home make keys outlive the process.
POSIX only (flock, fork); elsewhere start the module by hand and name its URL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import gatepost
from gatepost.examples.services.address import Address

SERVICES_VARIABLE = "GATEPOST_EXAMPLE_SERVICES"
"""The environment variable that names the URL of services that someone else runs."""

_IDLE_SECONDS = 15 * 60
_START_SECONDS = 60


class ServicesNotStarted(RuntimeError):
    """The example services could not be started."""


def ensure_services(home: Path, *, environ: Mapping[str, str]) -> str:
    """The base URL of running services: the one named in the environment, or the home's own."""
    named = environ.get(SERVICES_VARIABLE)
    if named:
        return named.rstrip("/")
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "example-services.lock") as lock:
        address = _running(home) or _start(home, environ=environ, lock=lock)
    return address.url


def stop_services(home: Path) -> bool:
    """Stop the home's services and wait until they are gone; False if none was running."""
    address = Address.read(_address_file(home))
    return address is not None and address.stop()


def _address_file(home: Path) -> Path:
    return home / "example-services.json"


def _running(home: Path) -> Address | None:
    address = Address.read(_address_file(home))
    return address if address and address.answers() else None


def _start(home: Path, *, environ: Mapping[str, str], lock: IO[str]) -> Address:
    log = home / "example-services.log"
    _launch(home, environ=environ, lock=lock, log=log)
    address = _running(home)
    if address is None:
        raise ServicesNotStarted(_explain("They started and do not answer.", log))
    return address


def _launch(home: Path, *, environ: Mapping[str, str], lock: IO[str], log: Path) -> None:
    try:
        with log.open("a", encoding="utf-8") as output:
            # The lock rides along as standard input: should this process be killed right here,
            # the next caller still waits until the one that is starting can be found.
            subprocess.run(  # noqa: S603  our own interpreter and our own words
                _command(home),
                stdin=lock,
                stdout=output,
                stderr=output,
                cwd=home,
                env=_environment(environ),
                start_new_session=True,
                timeout=_START_SECONDS,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServicesNotStarted(_explain(str(error), log)) from error


def _command(home: Path) -> list[str]:
    module = ["-m", "gatepost.examples.services", "--detach"]
    book = ["--book", str(home / "example-services.sqlite")]
    address = ["--address-file", str(_address_file(home))]
    # -P: a file in the home that is called like a module must not become one.
    return [sys.executable, "-P", *module, *book, *address, "--idle-exit", str(_IDLE_SECONDS)]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's, with this very gatepost first: the caller may have found it by sys.path."""
    root = Path(gatepost.__file__).absolute().parent.parent
    paths = [str(root), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    try:
        # Here and not above: the rest of the package can be imported where there is no fcntl.
        import fcntl  # noqa: PLC0415
    except ImportError as error:
        raise ServicesNotStarted(_explain("This system has no flock.", None)) from error
    with path.open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _explain(why: str, log: Path | None) -> str:
    last = log.read_text(encoding="utf-8")[-2000:].strip() if log and log.exists() else ""
    way = f"Run `python -m gatepost.examples.services` yourself and set {SERVICES_VARIABLE}."
    said = [f"Its log says:\n{last}"] if last else []
    return "\n".join([f"The example services did not start. {why}", way, *said])
