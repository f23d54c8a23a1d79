"""A headless Chromium for the tests of pages, driven over its own protocol. Debian's package has it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

BINARY = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
_WAIT_S = 60.0


class Browser:
    """One page of a browser of its own, while it is entered."""

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp()
        self._process = subprocess.Popen(
            [BINARY, *_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={self._folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = Path(self._folder, "DevToolsActivePort")
        until = time.monotonic() + _WAIT_S
        while not (port.exists() and port.read_text().strip()):
            assert time.monotonic() < until, "Chromium did not start"
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json", timeout=_WAIT_S) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(pages[0]["webSocketDebuggerUrl"], max_size=None))
        self._commands = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def size(self, width: int, height: int) -> None:
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url: str) -> None:
        self._do("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """The value of the JavaScript ``expression`` in the page."""
        answer = self._do("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        until = time.monotonic() + _WAIT_S
        while not (found := self.value(expression)):
            assert time.monotonic() < until, f"{expression} did not come; the page says {self.text()}"
            time.sleep(0.1)
        return found

    def text(self) -> str:
        return str(self.value("document.body.innerText"))

    def fill(self, name: str, value: str) -> None:
        self.value(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")

    def press(self, label: str) -> None:
        """Press the button that says ``label``."""
        self.wait_for(f"[...document.querySelectorAll('button')].some(each => each.textContent.trim() === '{label}')")
        self.value(
            f"[...document.querySelectorAll('button')].find(each => each.textContent.trim() === '{label}').click()"
        )

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._do("Page.captureScreenshot")["data"]))

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._commands += 1
        self._socket.send(json.dumps({"id": self._commands, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=_WAIT_S))).get("id") != self._commands:
            pass
        result: dict[str, Any] = answer["result"]
        return result
