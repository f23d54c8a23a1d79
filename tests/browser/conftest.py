"""A real browser, the whole pipeline behind it, and what MongoDB holds in the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pymongo import MongoClient

from pipeline.local.ports import free_port
from pipeline.settings import Settings
from tests.browser.site import QUICK, Site
from tests.conftest import Servers, settings_of_its_own
from tests.integration import ingest_api, roles
from tests.integration.chromium import BINARY
from tests.integration.ingest_api import WAIT_S, Running, wait_until

ROOT = Path(__file__).parents[2]


class Pipeline(Struct, frozen=True):
    """An API and a worker, and the collection that they fill."""

    api: Running
    settings: Settings
    collection: Any

    def documents(self, user: str) -> list[dict[str, Any]]:
        """What is stored of ``user``, once all of it is: an event sent now cannot overtake those before it."""
        for each in ("page_view", "click"):
            sentinel = {"event": each, "user_id": user, "props": {"sentinel": secrets.token_hex(8)}}
            assert ingest_api.post(self.api, "/track", sentinel).status == 200
            wait_until(lambda sent=sentinel: self.collection.count_documents({"props": sent["props"]}), "it is stored")
        return list(self.collection.find({"user_id": user, "props.sentinel": None}))

    def assert_stored_once(self, user: str, count: int) -> None:
        """Each of the clicks 0 to ``count`` - 1 is there, and none is there twice."""
        wait_until(lambda: self.collection.count_documents({"user_id": user}) >= count, f"{count} events are stored")
        clicks = Counter(each["props"]["n"] for each in self.documents(user) if each["event_type"] == "click")
        assert clicks == Counter(range(count))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; without one, tests are skipped with a reason, and fail in CI."""
    if not BINARY:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return BINARY


@pytest.fixture(scope="session")
def base_settings(chromium: str, servers: Servers) -> Iterator[Settings]:  # noqa: ARG001  no servers for nothing
    """Topics, group and database of this session's browser tests."""
    with settings_of_its_own(servers, "b", port=free_port(), demo=True, cors_origins=("*",)) as mine:
        yield mine


@pytest.fixture(scope="session")
def pipeline(base_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """An API and a worker of this session."""
    with running_pipeline(base_settings, tmp_path_factory.mktemp("browser")) as made:
        yield made


@contextlib.contextmanager
def running_pipeline(settings: Settings, logs: Path) -> Iterator[Pipeline]:
    """An API and a worker with these settings."""
    worker = roles.child("worker", settings, logs / "worker.log").start()
    try:
        with ingest_api.running(settings, logs) as api, MongoClient(settings.mongo.uri) as client:
            worker.wait_for_line("worker ready", WAIT_S)
            yield Pipeline(api, settings, client[settings.mongo.database][settings.mongo.collection])
    finally:
        worker.kill()


@pytest.fixture(scope="module")
def browser(chromium: str, pipeline: Pipeline) -> Iterator[Browser]:  # noqa: ARG001  see below
    """One Chromium for the tests of a module.

    While Playwright runs, asyncio.run() cannot in this thread: so the pipeline is made before it, and it ends before
    the tests of the next module.
    """
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor's browser, with storage of its own; an error in a page fails the test, except its own mistake."""
    errors: list[str] = []
    made = browser.new_context()
    made.set_default_timeout(WAIT_S * 1000)
    made.on("weberror", lambda error: errors.append(str(error.error)))
    yield made
    made.close()
    assert [each for each in errors if "own mistake" not in each] == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def user() -> str:
    """Whose events a test sends: nobody else's."""
    return f"user-{secrets.token_hex(6)}"


@pytest.fixture
def site(pipeline: Pipeline) -> Iterator[Site]:
    """A site of another origin than the API; its tracker starts at once and tracks only what a test asks it to."""
    with Site(pipeline.api.url) as made:
        made.use(QUICK)
        yield made


@pytest.fixture
def clicks() -> Callable[..., None]:
    """Track clicks ``first`` to ``last`` - 1 of ``user`` in ``page``."""

    def track(page: Page, user: str, last: int, first: int = 0) -> None:
        page.evaluate(
            """([user, first, last]) => {
                 tidemark.identify(user);
                 for (let n = first; n < last; n++) tidemark.track("click", { n });
               }""",
            [user, first, last],
        )

    return track


def stats(page: Page) -> dict[str, int]:
    """What the tracker of ``page`` counts."""
    found: dict[str, int] = page.evaluate("tidemark.stats()")
    return found


def wait_for(page: Page, expression: str) -> None:
    """Wait until ``expression`` is true in ``page``; Playwright's own wait needs eval(), which our pages forbid."""
    deadline_s = time.monotonic() + WAIT_S
    while not page.evaluate(expression):
        assert time.monotonic() < deadline_s, f"not within {WAIT_S:g} s: {expression}; {stats(page)}"
        page.wait_for_timeout(20)


def flush(page: Page) -> None:
    """Have the tracker send what waits, without waiting for the end of it: a test should fail and not hang."""
    page.evaluate("() => void tidemark.flush()")


def wait_for_empty_queue(page: Page) -> None:
    """Wait until no event of this origin waits."""
    wait_for(page, "tidemark.stats().queued === 0")
