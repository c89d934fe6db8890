"""`python -m gatepost.examples.services`: run the example services as a process.

The first line printed is the URL. The process ends by itself after the idle time, on SIGTERM,
and on POST /stop; the books stay.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from gatepost.examples.services.address import Address
from gatepost.examples.services.book import Book
from gatepost.examples.services.control import Control
from gatepost.examples.services.faults import Faults
from gatepost.examples.services.reception import Reception
from gatepost.examples.services.server import Activity, Server


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    announce = _detach() if options.detach else _stay
    book = Book.open(options.book)
    instance = secrets.token_hex(8)
    server = _server(options.port, book=book, instance=instance)
    address = Address(server.url, instance, os.getpid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _publish(address, options.address_file)
        announce()
        server.serve_until_idle(options.idle_exit)
    except KeyboardInterrupt:
        pass
    finally:
        if options.address_file:
            address.withdraw(options.address_file)
        server.server_close()
        book.close()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gatepost.examples.services")
    parser.add_argument("--book", type=Path, required=True, help="the SQLite file")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS")
    parser.add_argument("--address-file", type=Path, metavar="PATH")
    parser.add_argument("--detach", action="store_true", help="return when it is serving")
    return parser.parse_args(arguments)


def _server(port: int, *, book: Book, instance: str) -> Server:
    faults = Faults()
    reception = Reception(
        book,
        faults=faults,
        now=lambda: datetime.now(UTC),
        new_reference=lambda: secrets.token_hex(6),
    )
    control = Control(instance=instance, book=book, faults=faults)
    return Server(port, reception=reception, control=control, activity=Activity(time.monotonic))


def _publish(address: Address, path: Path | None) -> None:
    if path:
        address.write(path)
    print(address.url, flush=True)


def _detach() -> Callable[[], None]:
    """Go on in a child with a session of its own; the first process ends once it is told."""
    hear, tell = os.pipe()
    if os.fork():
        os.close(tell)
        _end_when_told(hear)
    os.close(hear)
    os.setsid()
    # Standard input is the launcher's lock: it is let go only when this process is found.
    return lambda: _told(tell)


def _end_when_told(hear: int) -> NoReturn:
    os._exit(0 if os.read(hear, 1) else 1)


def _told(tell: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # The first process may be gone already; then nobody is left to be told.
    with suppress(BrokenPipeError):
        os.write(tell, b".")
    os.close(tell)


def _stay() -> None:
    """Nobody waits for a process that stays in the foreground."""


if __name__ == "__main__":
    sys.exit(main())
