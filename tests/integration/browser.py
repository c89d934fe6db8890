"""A real browser: Debian's Chromium, driven over a pipe by its own protocol, so that no other package is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; `apt-get install chromium` brings what these tests drive"
)
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
LOOKS = 300
PAUSE = threading.Event()
DESK, PHONE = (1280, 900), (360, 780)


class Tab:
    """A page of a browser."""

    def __init__(self, reading: int, writing: int) -> None:
        self._in = os.fdopen(reading, "rb", buffering=0)
        self._out = os.fdopen(writing, "wb", buffering=0)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.dialogs: list[str] = []
        """What pages tried to say with alert() and its like."""
        self.complaints: list[str] = []
        """What the page's policy refused, and errors of its scripts."""
        self._loaded = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and wait for its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        self._write({**message, "sessionId": self._session} if self._session else message)
        while True:
            said = self._read()
            if said.get("id") == number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    def look(self, size: tuple[int, int] = DESK, *, dark: bool = False) -> None:
        """Have this size, in light or dark."""
        wide, high = size
        mobile = size == PHONE
        self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go somewhere, and wait until it has loaded."""
        before = self._loaded
        self.call("Page.navigate", url=url)
        self.loaded(before)

    def loaded(self, before: int) -> None:
        """Wait for the next page."""
        while self._loaded == before:
            self._read()

    def click(self, selector: str) -> None:
        """Click on something that leads to another page, and wait for it."""
        before = self._loaded
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.loaded(before)

    def run(self, script: str) -> Any:
        """What an expression says in the page; a promise is waited for."""
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        for _ in range(LOOKS):
            # Asked anew each time: the page may go and another one come meanwhile.
            said = self.call("Runtime.evaluate", expression=f"Boolean({condition})", returnByValue=True)
            if said["result"].get("value") is True:
                return
            PAUSE.wait(0.05)
        raise AssertionError(f"this never became true: {condition}\n{self.run('document.body.innerText')}")

    def shoot(self, path: Path, *, whole: bool = True) -> None:
        """Save what is seen."""
        said = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(said["data"]))

    def close(self) -> None:
        """Close the browser."""
        self._session = None
        self._write({"id": 0, "method": "Browser.close"})
        self._in.close()
        self._out.close()

    def _write(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message).encode() + b"\0")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._in.read(65536)
            assert part, "the browser is gone"
            self._rest += part
        raw, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(raw)
        self._note(said.get("method", ""), said.get("params", {}))
        return said

    def _note(self, event: str, params: dict[str, Any]) -> None:
        match event:
            case "Page.loadEventFired":
                self._loaded += 1
            case "Page.javascriptDialogOpening":
                self.dialogs.append(params["message"])
                self._write(
                    {
                        "id": -1,
                        "method": "Page.handleJavaScriptDialog",
                        "params": {"accept": True},
                        "sessionId": self._session,
                    }
                )
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.complaints.append(params["exceptionDetails"]["text"])


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser that nobody has used before, until the block ends."""
    assert CHROMIUM is not None
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="gp-browser-", ignore_cleanup_errors=True) as folder:
        # Chromium reads its commands from descriptor 3 and answers on 4.
        command = f'exec "$@" 3<&{their_in} 4>&{their_out}'
        process = subprocess.Popen(
            ["bash", "-c", command, "browser", CHROMIUM, *SWITCHES, f"--user-data-dir={folder}"],
            pass_fds=(their_in, their_out),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        tab = Tab(our_in, our_out)
        try:
            yield tab
        finally:
            tab.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
