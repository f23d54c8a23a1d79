"""The tracker in pages that work against it: replaced functions, odd storage, odd events. Nothing is lost there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Pipeline, flush, stats, wait_for, wait_for_empty_queue
from tests.browser.site import HELD, QUICK, Site
from tests.integration.ingest_api import wait_until

Clicks = Callable[..., None]
FULL = """() => {
  for (let size = 1 << 22; size; size >>= 1)
    try { for (let n = 0; ; n++) localStorage.setItem(`${size}.${n}`, "x".repeat(size)); } catch {}
}"""
"""Fills localStorage to its last byte."""


@pytest.mark.parametrize(
    "replaced",
    [
        "window.fetch = () => { throw new Error('blocked') }",
        "window.fetch = () => new Promise(() => {})",
        "window.dispatchEvent = () => { throw new Error('replaced') }",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in (
                "window.fetch = async () => { throw new TypeError('blocked') }",
                "window.fetch = () => undefined",
                "window.fetch = async () => ({})",
                "window.fetch = async () => new Response('<h1>No advertisements</h1>')",
                "window.fetch = async () => Response.json({ accepted: 0, rejected: 'abcde' })",
                "navigator.locks.request = () => { throw new Error('replaced') }",
            )
        ),
    ],
)
def test_what_a_page_or_a_blocker_has_replaced_loses_no_event(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks, replaced: str
) -> None:
    page.goto(site.url)
    page.evaluate(f"() => {{ {replaced} }}")
    clicks(page, user, 5)
    flush(page)
    page.wait_for_timeout(100)
    page.close(run_before_unload=True)
    next_page = context.new_page()
    next_page.goto(site.url)
    wait_for_empty_queue(next_page)
    pipeline.assert_stored_once(user, 5)


def test_a_browser_that_has_neither_locks_nor_time_outs_sends_all_the_same(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.add_init_script("delete AbortSignal.timeout; Object.defineProperty(navigator, 'locks', { value: undefined })")
    page.goto(site.url)
    clicks(page, user, 5)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 5)


def test_a_replaced_fetch_is_asked_less_and_less_often(page: Page, site: Site, user: str, clicks: Clicks) -> None:
    page.clock.install()
    page.goto(site.url)
    page.evaluate("() => { window.asked = 0; window.fetch = () => { asked++; throw new Error('blocked') } }")
    clicks(page, user, 1)
    page.clock.run_for(60_000)  # 1 + 2 + 4 + 8 + 16 + 32 s at most, and half of that at least
    page.wait_for_timeout(100)
    assert page.evaluate("asked") <= 10


@pytest.mark.parametrize(
    "beacon",
    [
        "() => false",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("() => { throw new Error('blocked') }", "undefined")),
    ],
)
def test_a_beacon_that_is_refused_loses_no_event(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks, beacon: str
) -> None:
    site.use(HELD)
    page.goto(site.url)
    page.evaluate(f"() => {{ navigator.sendBeacon = {beacon} }}")
    clicks(page, user, 5)
    page.close(run_before_unload=True)
    site.use(QUICK)
    next_page = context.new_page()
    next_page.goto(site.url)
    wait_for_empty_queue(next_page)
    assert stats(next_page)["accepted"] == 5
    pipeline.assert_stored_once(user, 5)


def test_a_pause_does_not_keep_a_beacon_from_what_only_memory_has(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD, "sandbox allow-scripts")
    page.goto(site.url)
    page.evaluate("() => { window.fetch = () => { throw new Error('blocked') } }")
    clicks(page, user, 3)
    with_pause = (
        "() => new Promise((done) => { addEventListener('tidemark', done, { once: true }); tidemark.flush(); })"
    )
    page.evaluate(with_pause)
    page.close(run_before_unload=True)
    pipeline.assert_stored_once(user, 3)


def test_events_that_are_too_large_for_one_beacon_go_as_far_as_the_browser_lets_them(
    page: Page, site: Site, pipeline: Pipeline, user: str
) -> None:
    site.use(HELD)
    page.goto(site.url)
    page.evaluate(
        """(user) => {
             window.sizes = [];
             const send = navigator.sendBeacon.bind(navigator);
             navigator.sendBeacon = (target, body) => (sizes.push(body.length), send(target, body));
             tidemark.identify(user);
             for (let n = 0; n < 4; n++) tidemark.track("click", { n, text: "é".repeat(15e3) });
             Object.defineProperty(document, "hidden", { value: true });
             dispatchEvent(new Event("visibilitychange"));
           }""",
        user,
    )
    assert page.evaluate("sizes.length") >= 1
    assert page.evaluate("Math.max(...sizes)") <= 60_000
    wait_until(lambda: pipeline.collection.count_documents({"user_id": user}) >= 1, "a beacon is stored")
    site.use(QUICK)
    page.reload()
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 4)


def test_what_others_keep_under_names_like_ours_is_neither_sent_nor_removed(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    foreign = {
        "tidemark:": "mine",
        "tidemark:settings": '{"event": "click", "user_id": "nobody"}',
        "tidemark:00000000-0000-7000-8000-000000000000": '{"event":"click","user_id":"nobody"},{"more":1}',
        "tidemark:00000000-0000-7000-8000-000000000001": "",
        "a tidemark:00000000-0000-7000-8000-000000000002": "00000000-0000-7000-8000-000000000002",
    }
    rubbish = {"tidemark:until": "soon", "tidemark:dropped": "many", "tidemark:user": "", "tidemark:consent": ""}
    site.use(HELD)
    page.goto(site.url)
    page.evaluate("(all) => Object.assign(localStorage, all)", foreign | rubbish)
    site.use(QUICK)
    page.reload()
    page.evaluate("tidemark.track('click')")
    clicks(page, user, 5)
    wait_for_empty_queue(page)
    assert {**stats(page), "accepted": 7, "rejected": 0, "dropped": 0} == stats(page)  # and the link to the visitor
    assert page.evaluate("(names) => names.map((name) => localStorage.getItem(name))", list(foreign)) == list(
        foreign.values()
    )
    pipeline.assert_stored_once(user, 5)


def test_every_odd_event_is_stored_or_refused_and_none_costs_another(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    clicks(page, user, 5)
    taken = page.evaluate(
        """() => {
             const deep = {};
             let at = deep;
             for (let level = 0; level < 200; level++) at = at.next = {};
             return [
               ["click", { n: 5, nothing: NaN, more: Infinity, none: undefined, job: () => {}, when: new Date(0) }],
               ["click", { n: 6, map: new Map([[1, 2]]), ["__proto__"]: 1, toJSON() { return { n: 6, own: true }; } }],
               ["click", { n: 7, text: "x".repeat(40e3) }],
               ["click", { n: 98, text: "x".repeat(70e3) }],
               ["click", { n: 98, large: 2 ** 64 }],
               ["click", { n: 98, deep }],
               ["click", "text"],
               ["x".repeat(201), { n: 98 }],
               ["click", { toJSON: () => "text" }],
               [{}, { n: 98 }],
               [null, { n: 98 }],
             ].map((given) => tidemark.track(...given)).filter((id) => id).length;
           }"""
    )
    assert taken == 11
    wait_for_empty_queue(page)
    assert {**stats(page), "accepted": 8, "rejected": 8, "dropped": 0} == stats(page)
    pipeline.assert_stored_once(user, 8)
    props = {each["props"]["n"]: each["props"] for each in pipeline.documents(user)}
    assert props[5] == {"n": 5, "nothing": None, "more": None, "when": "1970-01-01T00:00:00.000Z"}
    assert props[6] == {"n": 6, "own": True}


def test_of_very_many_events_at_once_those_beyond_the_bound_are_counted(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 5_000)
    assert {**stats(page), "queued": 1_000, "dropped": 4_000} == stats(page)
    flush(page)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 1_000)
    reports = [each["props"] for each in pipeline.documents(user) if each["event_type"] == "events_dropped"]
    assert reports == [{"count": 4_000}]


def test_an_event_larger_than_the_whole_queue_is_dropped_and_nothing_else(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    clicks(page, user, 0)
    assert page.evaluate("tidemark.track('click', { text: 'x'.repeat(1e6) })") is None
    clicks(page, user, 2)
    wait_for_empty_queue(page)
    assert stats(page)["dropped"] == 1
    pipeline.assert_stored_once(user, 2)


def test_what_a_full_storage_did_not_take_is_saved_as_soon_as_there_is_room(
    context: BrowserContext, page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    page.evaluate(FULL)
    clicks(page, user, 3)
    assert stats(page)["unsaved"] == 3
    page.evaluate("localStorage.clear()")
    context.set_offline(offline=True)
    flush(page)
    wait_for(page, "tidemark.stats().unsaved === 0")
    assert stats(page)["queued"] == 3


def test_a_full_storage_does_not_keep_the_user_of_before(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    page.evaluate("tidemark.identify('a')")
    page.evaluate(FULL)
    clicks(page, user, 3)  # a longer name than there is room for
    flush(page)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)


def test_a_withdrawal_of_consent_finds_room_in_a_full_storage(
    page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    page.goto(site.url)
    clicks(page, user, 1)
    page.evaluate(FULL)
    page.evaluate("tidemark.consent(false)")
    page.reload()
    assert page.evaluate("tidemark.track('click')") is None


def test_a_page_that_was_put_aside_does_not_bring_back_what_a_withdrawal_deleted(
    context: BrowserContext, page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    site.use(HELD)
    # As in the browser's cache of pages, it does not hear what happens meanwhile.
    page.add_init_script("addEventListener('storage', (event) => event.stopImmediatePropagation())")
    page.goto(site.url)
    clicks(page, user, 3)
    other = context.new_page()
    other.goto(site.url)
    other.evaluate("tidemark.consent(false)")
    wait_for(page, "localStorage.getItem('tidemark:consent') === 'denied'")
    assert page.evaluate("tidemark.track('click')") is None
    page.evaluate("tidemark.consent(true)")
    assert stats(page)["queued"] == 0


def test_a_full_queue_that_a_withdrawal_emptied_has_room_again(
    page: Page, site: Site, user: str, clicks: Clicks
) -> None:
    site.use({**HELD, "max-events": 3})
    page.goto(site.url)
    clicks(page, user, 4)
    page.evaluate("tidemark.consent(false); tidemark.consent(true)")
    clicks(page, user, 2)
    assert {**stats(page), "queued": 2, "dropped": 1} == stats(page)


def test_a_tracker_that_is_loaded_and_started_twice_counts_once(page: Page, site: Site, pipeline: Pipeline) -> None:
    path = f"/{secrets.token_hex(6)}"
    again = f'<script src="{pipeline.api.url}/tracker.js" data-key=""></script>'
    site.use({"interval": 50}, more=again)
    page.goto(f"{site.url}{path}")
    page.evaluate("tidemark.init(); tidemark.init({ endpoint: 'http://127.0.0.1:1' }); tidemark.track('click')")
    wait_for_empty_queue(page)
    assert stats(page)["accepted"] == 2
    wait_until(lambda: pipeline.collection.count_documents({"props.url": path}) == 1, "the page view is stored")


def test_attributes_of_other_tools_start_nothing(page: Page, site: Site) -> None:
    site.use({"cookieconsent": "statistics", "cfasync": "false"})
    page.goto(site.url)
    assert page.evaluate("tidemark.track('click')") is None
    page.evaluate("tidemark.init({ consent: 'required' })")
    assert page.evaluate("tidemark.track('click')") is None
    page.evaluate("tidemark.consent(true)")
    assert page.evaluate("typeof tidemark.track('click')") == "string"


def test_options_that_are_left_undefined_have_their_defaults(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    site.use({})
    page.goto(site.url)
    page.evaluate("tidemark.init({ key: '\\ud800' })")  # fails, and may be mended
    assert page.evaluate("tidemark.track('click')") is None
    undefined = ", ".join(f"{each}: undefined" for each in ("endpoint", "consent", "interval", "maxEvents"))
    page.evaluate(f"tidemark.init({{ key: '', {undefined}, pageViews: false }})")
    clicks(page, user, 3)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)


def test_a_frame_in_a_page_of_another_site_sends_its_own_events(
    page: Page, site: Site, pipeline: Pipeline, user: str
) -> None:
    with Site(pipeline.api.url) as framing:
        elsewhere = framing.url.replace("127.0.0.1", "localhost")
        framing.use(QUICK, f"frame-src {site.url}", f'<iframe src="{site.url}"></iframe>')
        page.goto(elsewhere)
        frame = page.frames[1]
        frame.evaluate(f"tidemark.identify('{user}'); for (let n = 0; n < 5; n++) tidemark.track('click', {{ n }})")
        wait_until(lambda: frame.evaluate("tidemark.stats().queued") == 0, "the frame has sent its events")
    pipeline.assert_stored_once(user, 5)


def test_ids_are_in_the_order_of_their_events_and_of_version_7(page: Page, site: Site) -> None:
    site.use(HELD)
    page.goto(site.url)
    # In one turn of the page's loop: the page sends its events, and removes them, as soon as the turn ends.
    ids, kept, now_ms = page.evaluate(
        """() => {
             const ids = Array.from({ length: 900 }, () => tidemark.track("click"));
             return [ids, ids.map((id) => localStorage.getItem(`tidemark:${id}`)), Date.now()];
           }"""
    )
    assert ids == sorted(ids)
    assert len(set(ids)) == 900
    for each, text in zip(ids, kept, strict=True):
        groups = each.split("-")
        assert [len(group) for group in groups] == [8, 4, 4, 4, 12]
        assert (groups[2][0], groups[3][0]) == ("7", "8")
        assert abs(int(groups[0] + groups[1], 16) - now_ms) < 60_000
        assert json.loads(text)["event_id"] == each
