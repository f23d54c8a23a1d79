"""What visitors do on the pages that Tidemark serves, and the pictures they take on the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from playwright.sync_api import Page, Route, expect

from tests.browser.screenshots.album import LOOKS, WAIT_MS, Album, Look
from tests.browser.screenshots.stage import Stage

expect.set_options(timeout=WAIT_MS)
_LOAD_FIRST_S = 200.0  # the least of live traffic on the dashboard's pictures


def before_the_first_event(album: Album, stage: Stage) -> None:
    """The API's description, Locust's form, and the dashboard: its door, and its page with nothing to show."""
    for look, page in album.visits(f"{stage.api_url}/docs"):
        expect(page.get_by_text("/track/batch").first).to_be_visible()
        album.take(page, "docs", look)
    for look, page in album.visits(stage.dashboard_url):
        album.take(page, "dashboard-login", look)
        page.get_by_label("Token").fill("not the token")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_be_visible()
        album.take(page, "dashboard-wrong-token", look)
    for look, page in album.visits(f"{stage.dashboard_url}/health/live"):
        with _unanswered(page, "**/live"):
            page.goto(stage.dashboard_link)
            expect(page.get_by_text("Waiting for the first figures")).to_be_visible()
            album.take(page, "dashboard-loading", look)
    for look, page in album.visits(stage.dashboard_link):
        _wait_for_figures(page)
        album.take(page, "dashboard-empty", look)
    for look, page in album.visits(stage.locust_url):
        album.take(page, "locust-form", look)
        for each in page.locator("summary").all():
            each.click()
        page.get_by_label("Offered load").fill("many")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("write a number")
        album.take(page, "locust-form-open", look)


@contextlib.contextmanager
def load(album: Album, stage: Stage) -> Iterator[float]:
    """Start a load from Locust's form, stop it in the end, and take Locust's page then; return when it began."""
    with contextlib.closing(album.visitor(LOOKS[0])) as context:
        page = context.new_page()
        page.goto(stage.locust_url)
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#tidemark")).to_be_visible()
        yield time.monotonic()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("[data-is=so_far]")).to_contain_text("has ended")
    for look, page in album.visits(stage.locust_url):
        expect(page.locator("[data-is=so_far]")).to_contain_text("has ended")
        album.take(page, "locust-ended", look)


def shop(album: Album, stage: Stage) -> None:
    """The way through the shop."""
    for look, page in album.visits(f"{stage.api_url}/demo"):
        _stored(page, 1)
        album.take(page, "demo-shelf", look)
        page.goto(f"{stage.api_url}/demo/basket")
        album.take(page, "demo-basket-empty", look)
        page.goto(f"{stage.api_url}/demo/lamp")
        page.get_by_role("button", name="Put into the basket").click()
        _stored(page, 4)
        album.take(page, "demo-product", look)
        page.goto(f"{stage.api_url}/demo/basket")
        album.take(page, "demo-basket", look)
        page.goto(f"{stage.api_url}/demo/sign-up")
        album.take(page, "demo-sign-up", look)
        page.get_by_label("Name").fill("Ada")
        page.get_by_role("button", name="Sign up").click()
        page.wait_for_url("**/welcome")
        _stored(page, 9)
        album.take(page, "demo-welcome", look)
        page.evaluate("document.getElementById('panel').open = true")
        album.take(page, "demo-list", look)
        page.context.set_offline(offline=True)
        page.get_by_role("button", name="Send 50 events").click()
        expect(page.get_by_text("Nothing answers.")).to_be_visible()
        album.take(page, "demo-offline", look)


def locust(album: Album, stage: Stage) -> None:
    """Locust's page while it sends."""
    for name in ("Statistics", "Charts"):
        for look, page in album.visits(stage.locust_url):
            page.get_by_role("tab", name=name).click()
            page.wait_for_timeout(1_500)  # until it has drawn its charts
            album.take(page, f"locust-running-{name.lower()}", look)


def dashboard(album: Album, stage: Stage, began_s: float) -> None:
    """The dashboard while events come in; they have since ``began_s``."""
    time.sleep(max(0.0, began_s + _LOAD_FIRST_S - time.monotonic()))
    for look, page in album.visits(stage.dashboard_link):
        _wait_for_figures(page)
        page.locator("#newest tbody tr").first.wait_for()
        album.take(page, "dashboard-live", look)
        page.get_by_role("textbox", name="Type").fill("signup")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#events-words")).to_contain_text("that fit")
        for each in page.locator("summary").all():
            each.click()
        page.get_by_label("1 hour").check()
        page.get_by_label("today (UTC)").check()
        album.take(page, "dashboard-tables-and-filter", look)


def outages(album: Album, stage: Stage) -> None:
    """The dashboard with MongoDB away, and then with nobody who answers."""
    with contextlib.ExitStack() as opened:
        pages: list[tuple[Look, Page]] = []
        for look in LOOKS:
            page = opened.enter_context(contextlib.closing(album.visitor(look))).new_page()
            page.goto(stage.dashboard_link)
            _wait_for_figures(page)
            pages.append((look, page))
        stage.stop_mongodb()
        for look, page in pages:
            expect(page.locator("#banners")).to_contain_text("MongoDB")
            album.take(page, "dashboard-mongodb-away", look)
        stage.stop_pipeline()
        for look, page in pages:
            expect(page.locator("#connection")).to_have_text("not connected")
            album.take(page, "dashboard-not-connected", look)


@contextlib.contextmanager
def _unanswered(page: Page, pattern: str) -> Iterator[None]:
    """Hold requests for what fits ``pattern`` back while in the block."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(pattern, hold)
    yield
    for each in held:
        each.abort()


def _wait_for_figures(page: Page) -> None:
    expect(page.locator("#loading")).to_be_hidden()
    expect(page.locator("#events-words")).not_to_be_empty()


def _stored(page: Page, count: int) -> None:
    """Wait until the list beside the shop has ``count`` events, all stored."""
    expect(page.locator("[data-events] > li")).to_have_count(count)
    expect(page.locator("[data-events] .latency")).to_have_count(count)
