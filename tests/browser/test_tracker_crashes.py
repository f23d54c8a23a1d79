"""The tracker and pages that end in the middle of something: closed, crashed, or killed with their whole browser."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route

from tests.browser.conftest import WAIT_S, Pipeline, stats, wait_for, wait_for_empty_queue
from tests.browser.site import HELD, QUICK, Site
from tests.integration.ingest_api import wait_until

Clicks = Callable[..., None]
BATCHES = "**/track/batch*"
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def crash(page: Page) -> None:
    """End the process of ``page`` and of no other."""
    with page.expect_event("crash"), contextlib.suppress(Error):
        page.goto("chrome://crash")


def test_a_page_that_is_closed_before_the_answer_has_its_events_stored_once(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        route.fetch()  # the API has the events, the page never hears of it
        held.append(route)

    page.route(BATCHES, hold)
    page.goto(site.url)
    clicks(page, user, 20)
    while not held:
        page.wait_for_timeout(20)
    wait_until(lambda: pipeline.collection.count_documents({"user_id": user}) == 20, "the events are stored")
    assert stats(page)["queued"] == 20
    page.close(run_before_unload=True)
    next_page = context.new_page()
    next_page.goto(site.url)
    wait_for_empty_queue(next_page)
    assert stats(next_page)["accepted"] == 20
    pipeline.assert_stored_once(user, 20)


def test_a_tab_that_crashes_while_it_sends_leaves_its_events_to_the_others(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    other = context.new_page()
    other.goto(site.url)
    page.route(BATCHES, lambda _: None)  # its request hangs, and it has the lock
    page.goto(site.url)
    with page.expect_request(BATCHES):
        clicks(page, user, 20)
    wait_for(other, "tidemark.stats().queued === 20")
    crash(page)
    clicks(other, user, 40, first=20)
    wait_for_empty_queue(other)
    assert stats(other)["accepted"] == 40
    pipeline.assert_stored_once(user, 40)


@pytest.mark.slow
def test_five_tabs_share_one_queue(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    pages = [page, *(context.new_page() for _ in range(4))]
    for each in pages:
        each.goto(site.url)
    context.set_offline(offline=True)
    for number, each in enumerate(pages):
        clicks(each, user, 40 * (number + 1), first=40 * number)
    for each in pages:
        wait_for(each, "tidemark.stats().queued === 200")
    context.set_offline(offline=False)
    for each in pages:
        wait_for_empty_queue(each)
    assert sum(stats(each)["accepted"] for each in pages) < 400
    pipeline.assert_stored_once(user, 200)


@contextlib.contextmanager
def running_chromium(browser: Browser, chromium: str, profile: Path) -> Iterator[tuple[Page, Callable[[], None]]]:
    """A page in a Chromium of its own with this profile; and how to kill all its processes at once."""
    port = profile / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    process = subprocess.Popen(
        [chromium, *_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    try:
        wait_until(lambda: port.exists() and "\n" in port.read_text(), "Chromium has started")
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
        connected = browser.browser_type.connect_over_cdp(address)
        page = connected.contexts[0].new_page()
        page.set_default_timeout(WAIT_S * 1000)
        yield page, kill
    finally:
        kill()


def is_on_disk(profile: Path, text: str) -> bool:
    """Whether the browser has written ``text`` to the file that it keeps localStorage in."""
    files = (profile / "Default" / "Local Storage" / "leveldb").glob("*.log")
    return any(text.encode() in each.read_bytes() for each in files)


@pytest.mark.slow
def test_a_browser_that_is_killed_loses_at_most_its_last_seconds(
    browser: Browser, chromium: str, site: Site, pipeline: Pipeline, user: str, clicks: Clicks, tmp_path: Path
) -> None:
    site.use(HELD)
    with running_chromium(browser, chromium, tmp_path) as (page, kill):
        page.goto(site.url)
        clicks(page, user, 20)
        last = page.evaluate("tidemark.track('click', { n: 20 })")
        wait_until(lambda: is_on_disk(tmp_path, last), "the browser has written the events to disk")
        clicks(page, user, 30, first=21)
        kill()
    site.use(QUICK)
    with running_chromium(browser, chromium, tmp_path) as (page, _):
        page.goto(site.url)
        wait_for_empty_queue(page)
    wait_until(lambda: pipeline.collection.count_documents({"user_id": user}) >= 21, "the events are stored")
    counts = Counter(each["props"]["n"] for each in pipeline.documents(user))
    assert set(range(21)) <= set(counts) <= set(range(30))
    assert set(counts.values()) == {1}
