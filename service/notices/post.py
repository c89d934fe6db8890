"""The post: sends one message to one address, through apprise.

Invariant: neither an address nor anything else that apprise says about it leaves this module. Its log is kept from
every other reader, and of a failure no more is told than its kind.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gatepost.service.notices.routes import Routes
from gatepost.state.errors import CallerMistake

ID_HEADER = "Gatepost-Notice"
_TALKATIVE = ("apprise", "urllib3.connectionpool", "urllib3.util.retry", "requests", "paho", "slixmpp")
_STATUS = re.compile(r"error=(\d{3})\b")


class Post:
    """Sends messages.

    Args:
        routes: whose addresses are checked now.

    Raises:
        CallerMistake: apprise is not installed, or cannot use an address; says which by the name of its route.
    """

    def __init__(self, routes: Routes) -> None:
        try:
            import apprise
        except ModuleNotFoundError:
            raise CallerMistake(
                "notices are sent through apprise, which is not installed. Install it: pip install 'gatepost[notices]'."
            ) from None
        self._apprise: Any = apprise
        self._asset = apprise.AppriseAsset(
            app_id="Gatepost",
            app_desc="Gatepost",
            app_url="",
            image_url_mask="",
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )
        with _heard(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the many modules that it loads with the first
            self._check(routes)

    def _check(self, routes: Routes) -> None:
        for route in routes.routes:
            for number, url in enumerate(route.urls, 1):
                if self._plugin(url) is None:
                    raise CallerMistake(
                        f"address {number} of route {route.name!r} is none that apprise knows. It begins with what it "
                        "is, as in mailto://, slack:// or json://; see https://appriseit.com/services/."
                    )

    def send(self, url: str, *, title: str, body: str, notice: str) -> str:
        """Send a message; why it was not sent, or nothing. It blocks.

        Args:
            url: the address.
            title: one line.
            body: plain text.
            notice: its id, which HTTP receivers get as the header `Gatepost-Notice` as well.
        """
        with _heard() as said:
            try:
                plugin = self._plugin(url)
                if plugin is None:
                    return "apprise cannot use the address"
                if isinstance(headers := getattr(plugin, "headers", None), dict):
                    headers[ID_HEADER] = notice
                if plugin.notify(title=title, body=body, body_format=self._apprise.NotifyFormat.TEXT):
                    return ""
            except Exception as error:  # noqa: BLE001 (a plugin's; its text may hold the address)
                return f"it failed inside apprise ({type(error).__name__})"
        return _kind_of(said)

    def _plugin(self, url: str) -> Any:
        return self._apprise.Apprise.instantiate(url, asset=self._asset, suppress_exceptions=True)


def _kind_of(said: list[str]) -> str:
    text = " ".join(said)
    if found := _STATUS.search(text):
        return f"the receiver answered {found[1]}"
    if "onnection" in text or "Socket" in text:
        return "the receiver could not be reached"
    return "the receiver did not take it"


class _Ear(logging.Filter):
    """Hears what is logged in one thread, and lets nobody else hear it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Note what is said here, and keep it."""
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.said.append(record.getMessage())
        return False


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged here meanwhile: their lines may hold addresses."""
    ear, logs = _Ear(), [logging.getLogger(name) for name in _TALKATIVE]
    for log in logs:
        log.addFilter(ear)
    try:
        yield ear.said
    finally:
        for log in logs:
            log.removeFilter(ear)
