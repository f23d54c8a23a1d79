"""The tracker and long outages: how long it waits, and that nothing is lost meanwhile. Tests turn the clock on."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
from playwright.sync_api import BrowserContext, Page, Route

from tests.browser.conftest import Pipeline, flush, stats, wait_for, wait_for_empty_queue
from tests.browser.site import Site

Clicks = Callable[..., None]
BATCHES = "**/track/batch*"
LONGEST_PAUSE_MS = 60_000
HEADERS = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}


def open_page(page: Page, site: Site) -> None:
    """Open a page whose clock a test can turn on, and which notes the pauses that its tracker makes."""
    page.clock.install()
    page.goto(site.url)
    page.evaluate(
        """() => {
             window.pauses = [];
             addEventListener("tidemark", ({ detail }) => detail.kind === "waiting" && pauses.push(detail.pause_ms));
           }"""
    )


def pauses_s(page: Page, count: int) -> list[float]:
    """Wait until the tracker has made ``count`` pauses; return them."""
    wait_for(page, f"pauses.length === {count}")
    return [each / 1000 for each in page.evaluate("pauses")]


def test_in_an_outage_of_ten_minutes_each_pause_is_twice_as_long_up_to_a_minute(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.route(BATCHES, lambda route: route.abort())
    open_page(page, site)
    clicks(page, user, 150)
    for count in range(1, 11):
        found = pauses_s(page, count)
        page.clock.fast_forward(LONGEST_PAUSE_MS)
    for number, pause_s in enumerate(found):
        longest_s = min(60, 2**number)
        assert longest_s / 2 <= pause_s <= longest_s
    clicks(page, user, 200, first=150)
    pauses_s(page, 11)
    page.unroute(BATCHES)
    page.clock.fast_forward(LONGEST_PAUSE_MS)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 200)
    page.route(BATCHES, lambda route: route.abort())
    clicks(page, user, 201, first=200)
    assert pauses_s(page, 12)[-1] <= 1  # the next outage begins with a short pause again


@pytest.mark.parametrize(
    ("answer", "least_s"),
    [
        ("120", 120),
        ("in a day", 3600),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("in 120 s", 118), ("7200", 3600), ("-5", 0), ("soon", 0))
        ),
    ],
)
def test_nothing_is_sent_before_the_time_that_retry_after_names(
    context: BrowserContext,
    page: Page,
    site: Site,
    pipeline: Pipeline,
    user: str,
    clicks: Clicks,
    answer: str,
    least_s: int,
) -> None:
    dates = {
        "in 120 s": formatdate(time.time() + 120, usegmt=True),
        "in a day": formatdate(time.time() + 86_400, usegmt=True),
    }
    requests: list[str] = []
    open_page(page, site)

    def refuse_once(route: Route) -> None:
        requests.append(route.request.url)
        if len(requests) > 1:
            route.continue_()
        else:
            route.fulfill(status=429, headers={**HEADERS, "retry-after": dates.get(answer, answer)}, body="busy")

    context.route(BATCHES, refuse_once)
    clicks(page, user, 3)
    pause_s = pauses_s(page, 1)[0]
    assert least_s + 0.5 <= pause_s <= least_s + 3
    if least_s:
        other = context.new_page()
        other.goto(site.url)
        for each in (page, other):  # neither the other tab nor a wish of the page's is sooner
            flush(each)
            each.evaluate("dispatchEvent(new Event('online'))")
        other.close()
        page.clock.fast_forward((least_s - 5) * 1000)
        flush(page)
        assert len(requests) == 1
    page.clock.fast_forward(10_000)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)


def test_an_event_that_something_before_the_api_never_lets_pass_holds_up_no_other(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    def guard(route: Route) -> None:
        if "DROP TABLE" in (route.request.post_data or ""):
            route.fulfill(status=403, headers=HEADERS, body="<h1>Forbidden</h1>")
        else:
            route.continue_()

    page.route(BATCHES, guard)
    open_page(page, site)
    page.evaluate(f"tidemark.identify('{user}'); tidemark.track('click', {{ n: 0, searched: 'DROP TABLE' }})")
    clicks(page, user, 30, first=1)
    for count in range(1, 30):
        if stats(page)["queued"] == 1:
            break
        pauses_s(page, count)
        page.clock.fast_forward(LONGEST_PAUSE_MS)
        page.wait_for_timeout(100)
    clicks(page, user, 31, first=30)  # the others do not wait for it later either
    page.clock.fast_forward(LONGEST_PAUSE_MS)
    wait_for(page, "tidemark.stats().accepted === 30")
    page.unroute(BATCHES)
    page.clock.fast_forward(LONGEST_PAUSE_MS)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 31)


def test_calls_of_flush_during_an_outage_send_no_extra_requests(
    page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    page.add_init_script(
        """const pending = window.pending = new Set(), { setTimeout: set, clearTimeout: clear } = window;
           window.setTimeout = (job, pause) => {
             const id = set(() => { pending.delete(id); job(); }, pause);
             pending.add(id);
             return id;
           };
           window.clearTimeout = (id) => { pending.delete(id); clear(id); };"""
    )
    page.route(BATCHES, lambda route: route.abort())
    page.goto(site.url)
    clicks(page, user, 3)
    wait_for(page, "localStorage.length > 3 && pending.size === 1")
    for _ in range(20):
        flush(page)
        page.wait_for_timeout(10)
    assert page.evaluate("pending.size") <= 1


def test_events_gather_for_as_long_as_the_page_asked_for(page: Page, site: Site, user: str, clicks: Clicks) -> None:
    site.use({"interval": 30_000, "page-views": "false"})
    page.clock.install()
    page.goto(site.url)
    page.clock.run_for(1_000)
    clicks(page, user, 3)
    page.clock.run_for(20_000)
    page.wait_for_timeout(100)
    assert (stats(page)["queued"], stats(page)["accepted"]) == (3, 0)
    page.clock.run_for(10_000)
    wait_for_empty_queue(page)


def test_the_pause_ends_when_the_browser_is_online_again(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    open_page(page, site)
    context.set_offline(offline=True)
    clicks(page, user, 3)
    for count in range(1, 8):
        pauses_s(page, count)
        page.clock.fast_forward(LONGEST_PAUSE_MS)
    pauses_s(page, 8)
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # no timer comes to an end from here on
    context.set_offline(offline=False)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)


def test_events_of_a_batch_that_the_api_could_not_take_now_are_sent_again(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    cut: list[int] = []

    def take_two(route: Route) -> None:
        events = route.request.post_data_json
        if cut:
            route.continue_()
            return
        cut.append(len(events))
        route.fetch(post_data=[events[0], events[2]])
        late = {"index": 1, "code": "unavailable", "error": "Kafka has not acknowledged this"}
        route.fulfill(json={"status": "ok", "accepted": 2, "rejected": [late]}, headers=HEADERS)

    page.route(BATCHES, take_two)
    page.goto(site.url)
    clicks(page, user, 3)
    wait_for_empty_queue(page)
    assert cut == [3]
    assert {**stats(page), "accepted": 3, "rejected": 0} == stats(page)
    pipeline.assert_stored_once(user, 3)


@pytest.mark.slow
def test_a_request_that_hangs_is_given_up_and_sent_again(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    hanging: list[Route] = []
    page.route(BATCHES, lambda route: route.continue_() if hanging else hanging.append(route))
    page.goto(site.url)
    clicks(page, user, 3)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)
