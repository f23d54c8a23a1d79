"""The tracker in a real browser: no event is lost and none is stored twice, whatever happens on its way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route

from tests.browser.conftest import Pipeline, flush, stats, wait_for, wait_for_empty_queue
from tests.browser.site import HELD, QUICK, Site
from tests.integration.ingest_api import wait_until

Clicks = Callable[..., None]
DAY_S = 24 * 3600


def test_a_reload_loses_nothing(page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 5)
    site.use(QUICK)
    page.reload()
    clicks(page, user, 8, first=5)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 8)


def test_what_was_tracked_offline_is_sent_when_the_network_is_back(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    context.set_offline(offline=True)
    clicks(page, user, 250)
    page.wait_for_event("requestfailed")
    assert stats(page) == {"accepted": 0, "rejected": 0, "dropped": 0, "unsaved": 0, "queued": 250}
    context.set_offline(offline=False)
    wait_for_empty_queue(page)
    assert stats(page)["accepted"] == 250
    pipeline.assert_stored_once(user, 250)


def test_a_page_that_is_closed_sends_what_it_has_by_a_beacon(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 40)
    page.close(run_before_unload=True)
    wait_until(lambda: pipeline.collection.count_documents({"user_id": user}) == 40, "the beacon's events are stored")
    # No answer to a beacon is seen, so the next page sends them again.
    site.use(QUICK)
    next_page = context.new_page()
    next_page.goto(site.url)
    wait_for_empty_queue(next_page)
    assert stats(next_page)["accepted"] == 40
    pipeline.assert_stored_once(user, 40)


def test_a_page_that_goes_away_while_it_is_offline_leaves_its_events_to_the_next_one(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    context.set_offline(offline=True)
    clicks(page, user, 30)
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    context.set_offline(offline=False)
    next_page = context.new_page()
    next_page.goto(site.url)
    wait_for_empty_queue(next_page)
    pipeline.assert_stored_once(user, 30)


def test_two_tabs_share_one_queue(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    other = context.new_page()
    for each in (page, other):
        each.goto(site.url)
    context.set_offline(offline=True)
    for first in range(0, 200, 20):  # in turn
        clicks(page if first % 40 else other, user, first + 20, first=first)
    assert stats(page)["queued"] == stats(other)["queued"] == 200
    context.set_offline(offline=False)
    for each in (page, other):
        wait_for_empty_queue(each)
    # One tab sends for both: each event once, but for those of a moment at which both did.
    assert stats(page)["accepted"] + stats(other)["accepted"] < 400
    pipeline.assert_stored_once(user, 200)


def test_a_tab_forgets_its_events_when_another_one_has_sent_them(
    context: BrowserContext, page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    other = context.new_page()
    for each in (page, other):
        each.goto(site.url)
    clicks(other, user, 5)
    wait_for(page, "tidemark.stats().queued === 5")
    flush(page)
    wait_for_empty_queue(page)
    wait_for_empty_queue(other)
    assert (stats(page)["accepted"], stats(other)["accepted"]) == (5, 0)


@pytest.mark.slow
def test_a_tab_that_keeps_the_lock_does_not_keep_the_others_from_sending(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    page.evaluate("""() => void navigator.locks.request("tidemark:", () => new Promise(() => {}))""")
    other = context.new_page()
    other.goto(site.url)
    clicks(other, user, 3)
    wait_for_empty_queue(other)
    pipeline.assert_stored_once(user, 3)


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_wrong_by_a_day_loses_nothing(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks, days: int
) -> None:
    page.goto(site.url)
    true_s = page.evaluate("Date.now()") / 1000
    page.clock.set_system_time(true_s + days * DAY_S)
    clicks(page, user, 3)
    wait_for_empty_queue(page)
    page.clock.set_system_time(true_s)  # and is set right in the middle of a visit
    clicks(page, user, 6, first=3)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 6)
    times = {each["props"]["n"]: each["timestamp"].timestamp() for each in pipeline.documents(user)}
    assert round((times[0] - times[5]) / DAY_S) == days


def test_a_pause_that_was_asked_for_before_the_clock_was_set_back_ends_all_the_same(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    page.evaluate(f"localStorage.setItem('tidemark:until', Date.now() + {DAY_S * 1000})")
    clicks(page, user, 2)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 2)


def test_a_full_storage_keeps_events_in_memory(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    page.evaluate(
        """() => {
             for (let size = 1 << 22; size; size >>= 1)
               try { for (let n = 0; ; n++) localStorage.setItem(`${size}.${n}`, "x".repeat(size)); } catch {}
           }"""
    )
    clicks(page, user, 20)
    assert stats(page)["unsaved"] == 20
    flush(page)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 20)


@pytest.mark.parametrize("count", [10, 250])  # of which one request has at most 100
def test_what_storage_did_not_take_goes_by_beacons_when_the_page_is_closed(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks, count: int
) -> None:
    site.use(HELD, "sandbox allow-scripts")  # a page without an origin of its own may not use localStorage
    page.goto(site.url)
    clicks(page, user, count)
    page.close(run_before_unload=True)
    pipeline.assert_stored_once(user, count)


def test_a_forbidden_storage_keeps_events_in_memory(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(QUICK, "sandbox allow-scripts")
    page.goto(site.url)
    assert page.evaluate("() => { try { return localStorage.length; } catch (error) { return error.name; } }") == (
        "SecurityError"
    )
    clicks(page, user, 20)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 20)


def test_what_a_page_without_rights_tracked_at_its_start_is_sent(page: Page, site: Site) -> None:
    site.use({"interval": 50}, "sandbox allow-scripts")  # it may use no locks either, and learns that when it sends
    page.goto(site.url)
    wait_for_empty_queue(page)
    assert stats(page)["accepted"] == 1


def test_a_page_that_empties_its_storage_loses_none_of_its_events(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 5)
    page.evaluate("localStorage.clear()")
    flush(page)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 5)


def test_an_answer_that_is_not_the_api_s_is_no_acknowledgement(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.clock.install()
    page.goto(site.url)
    bodies = ["<h1>Welcome to our hotel</h1>", '{"status": "ok"}', '{"accepted": 7, "rejected": []}']

    def answer(route: Route) -> None:
        headers = {"access-control-allow-origin": "*"}
        if bodies:
            route.fulfill(status=200, body=bodies.pop(0), headers=headers)
        else:
            route.continue_()

    page.route("**/track/batch*", answer)
    clicks(page, user, 3)
    for _ in range(20):
        page.clock.fast_forward(60_000)  # longer than any pause
        page.wait_for_timeout(50)
    assert stats(page)["queued"] == 0
    assert bodies == []
    assert stats(page)["accepted"] == 3
    pipeline.assert_stored_once(user, 3)


def test_one_event_that_spoils_a_batch_costs_none_of_the_others(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 20)
    # As a bug of another script would leave it behind, in the middle of the others.
    page.evaluate(
        """() => {
             const name = Object.keys(localStorage).filter((each) => each.length > 40).sort()[9];
             const broken = `${name.slice(0, -1)}~`;
             localStorage.setItem(broken, `{"event_id":"${broken.slice(9)}",`);
           }"""
    )
    flush(page)
    wait_for_empty_queue(page)
    assert {**stats(page), "accepted": 20, "rejected": 1} == stats(page)
    pipeline.assert_stored_once(user, 20)


def test_what_the_full_queue_does_not_take_is_counted_and_reported(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use({**QUICK, "max-events": 5})
    page.goto(site.url)
    context.set_offline(offline=True)
    clicks(page, user, 8)
    assert {**stats(page), "dropped": 3, "queued": 5} == stats(page)
    context.set_offline(offline=False)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 5)
    reports = [each for each in pipeline.documents(user) if each["event_type"] == "events_dropped"]
    assert [each["props"] for each in reports] == [{"count": 3}]
