"""The dashboard's page in a browser: opened, watched for faults, and served with figures of a test's own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

from axe_playwright_python.sync_playwright import Axe
from msgspec import Struct
from playwright.sync_api import Browser, Page, expect

from pipeline.dashboard.hub import Hub
from tests.integration.ingest_api import WAIT_S
from tests.unit.pipeline.dashboard.server import TOKEN, Figures, serving

expect.set_options(timeout=WAIT_S * 1000)

# Whatever the page's policy stopped, and whatever failed, since the page began.
_WATCH = """
window.faults = [];
addEventListener('securitypolicyviolation', each =>
  faults.push(`${each.violatedDirective} ${each.blockedURI} ${each.sourceFile}:${each.lineNumber}`));
addEventListener('error', each => faults.push(String(each.message)));
addEventListener('unhandledrejection', each => faults.push(String(each.reason)));
"""
# What the browser itself notes of a server that is away, or refuses: that is part of the tests.
_OF_THE_NETWORK = re.compile(r"net::ERR_|Failed to load resource: the server responded with a status of (401|503)")


class Served(Struct, frozen=True):
    """A dashboard in a thread of this process."""

    url: str
    hub: Hub
    loop: AbstractEventLoop

    @property
    def link(self) -> str:
        """What lets a browser in."""
        return link(self.url)


def link(url: str, token: str = TOKEN) -> str:
    """The address that lets a browser in."""
    return f"{url}/?token={quote(token, safe='')}"


@contextlib.contextmanager
def served(shown: Figures, **how: Any) -> Iterator[Served]:
    """Serve ``shown`` while the block runs; ``how`` as for :func:`tests.unit.pipeline.dashboard.server.serving`."""
    ready: Future[tuple[Served, asyncio.Event]] = Future()

    async def serve() -> None:
        try:
            # Often, but not so often that a browser does nothing but draw.
            async with serving(shown, **{"refresh_s": 0.4, **how}) as (url, hub):
                stop = asyncio.Event()
                ready.set_result((Served(url, hub, asyncio.get_running_loop()), stop))
                await stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        found, stop = ready.result(WAIT_S)
        try:
            yield found
        finally:  # also where the test fails: pytest would wait for this thread for ever
            found.loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join(WAIT_S)


@contextlib.contextmanager
def watched(browser: Browser, **context: Any) -> Iterator[Page]:
    """A page of a context of its own, in which nothing may fail and nothing may break the policy."""
    complaints: list[str] = []
    made = browser.new_context(**context)
    made.set_default_timeout(WAIT_S * 1000)
    made.add_init_script(_WATCH)
    page = made.new_page()
    page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
        faults = page.evaluate("window.faults")
    finally:
        made.close()
    found = [*faults, *(each for each in complaints if not _OF_THE_NETWORK.search(each))]
    assert found == [], found


def open_page(page: Page, address: str) -> None:
    """Open the dashboard and wait for its first figures."""
    page.goto(address)
    expect(page.locator("#key > div")).not_to_have_count(0)


def figure(page: Page, name: str) -> str:
    """The key figure of that name, as it is shown."""
    return page.locator(f"#key > div:has(dt:text-is('{name}')) dd").first.inner_text()


def note(page: Page, name: str) -> str:
    """What stands below the key figure of that name."""
    return page.locator(f"#key > div:has(dt:text-is('{name}')) dd.note").inner_text()


def serious_faults(page: Page) -> list[tuple[str, str]]:
    """The rules that axe finds broken, serious ones and worse, each with an element."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
