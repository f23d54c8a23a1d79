"""The tracker and visits: which page views it makes, and when it must make none."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Pipeline, flush, stats, wait_for, wait_for_empty_queue
from tests.browser.site import QUICK, Site
from tests.integration.ingest_api import wait_until


@pytest.fixture
def section() -> str:
    """The first part of the paths of a test's page views."""
    return f"/{secrets.token_hex(6)}"


def views(pipeline: Pipeline, section: str, count: int) -> list[dict[str, str]]:
    """Wait until ``count`` views of pages of ``section`` are stored; return their props in their order."""
    query = {"event_type": "page_view", "props.url": {"$regex": f"^{section}"}}
    wait_until(lambda: pipeline.collection.count_documents(query) >= count, f"{count} page views are stored")
    return [each["props"] for each in pipeline.collection.find(query).sort("timestamp")]


def test_a_script_tag_is_enough(page: Page, site: Site, pipeline: Pipeline, section: str) -> None:
    site.use({"endpoint": pipeline.api.url})
    page.goto(f"{site.url}{section}/home?secret=1", referer="https://search.example/find?q=tidemark")
    wait_for_empty_queue(page)
    assert views(pipeline, section, 1) == [{"url": f"{section}/home", "referrer": "https://search.example/find"}]


def test_an_application_of_one_page_has_a_view_for_each_address(
    page: Page, site: Site, pipeline: Pipeline, section: str
) -> None:
    site.use({"interval": 50})
    page.goto(f"{site.url}{section}/a")
    for call in (
        f"history.pushState(null, '', '{section}/b')",
        f"history.replaceState({{scroll: 5}}, '', '{section}/b')",  # the same address: no view
        f"history.replaceState(null, '', '{section}/c?sort=price')",
        "location.hash = '#/route'",
        "location.hash = '#/route'",
    ):
        page.evaluate(call)
        page.wait_for_timeout(50)  # until the next one, by whose time they are sorted
    page.go_back()
    wait_for_empty_queue(page)
    found = views(pipeline, section, 5)
    assert [each["url"].removeprefix(section) for each in found] == ["/a", "/b", "/c", "/c#/route", "/c"]
    assert [each.get("referrer", "").removeprefix(section) for each in found] == ["", "/a", "/b", "/c", "/c#/route"]


def test_the_next_page_names_the_one_before_as_its_referrer(
    page: Page, site: Site, pipeline: Pipeline, section: str
) -> None:
    site.use({"interval": 50})
    page.goto(f"{site.url}{section}/a")
    page.evaluate(f"document.querySelector('a').href = '{section}/b'")
    page.click("a")
    page.wait_for_url(f"**{section}/b")
    wait_for_empty_queue(page)
    assert views(pipeline, section, 2)[1] == {"url": f"{section}/b", "referrer": f"{section}/a"}


def test_a_visitor_stays_the_same_from_page_to_page_until_named(
    page: Page, site: Site, pipeline: Pipeline, user: str, section: str
) -> None:
    site.use({"interval": 50})
    page.goto(f"{site.url}{section}/a")
    page.goto(f"{site.url}{section}/b")
    page.evaluate(f"tidemark.identify('{user}')")
    page.goto(f"{site.url}{section}/c")
    wait_for_empty_queue(page)
    views(pipeline, section, 3)
    query = {"props.url": {"$regex": f"^{section}"}}
    visitors = [each["user_id"] for each in pipeline.collection.find(query).sort("timestamp")]
    assert visitors == [visitors[0], visitors[0], user]
    linked = pipeline.collection.find_one({"event_type": "identify", "user_id": user})
    assert linked["props"] == {"previous_id": visitors[0]}


def test_users_are_linked_to_the_visitor_they_were_and_never_to_each_other(
    page: Page, site: Site, pipeline: Pipeline, user: str, section: str
) -> None:
    site.use(QUICK)
    page.goto(f"{site.url}{section}")
    for call in ("track('click')", "identify('{0}-a')", "identify('{0}-a')", "identify('{0}-b')", "track('click')"):
        page.evaluate(f"tidemark.{call.format(user)}")
    page.evaluate("tidemark.identify(null); tidemark.identify(null); tidemark.track('click')")
    visitor = page.evaluate("localStorage.getItem('tidemark:visitor')")
    page.reload()
    page.evaluate(f"tidemark.identify(null); tidemark.identify('{user}-c')")
    wait_for_empty_queue(page)
    links = {}
    for name in ("a", "c"):
        query = {"user_id": f"{user}-{name}", "event_type": "identify"}
        wait_until(lambda query=query: pipeline.collection.count_documents(query) > 0, "the link is stored")
        links[name] = [each["props"]["previous_id"] for each in pipeline.collection.find(query)]
    assert links["c"] == [visitor]
    assert len(links["a"]) == 1
    assert visitor not in links["a"]
    b_events = pipeline.documents(f"{user}-b")
    assert [each["event_type"] for each in b_events] == ["click"]


def test_a_page_that_is_only_prepared_has_no_view_until_it_is_shown(
    page: Page, site: Site, pipeline: Pipeline, section: str
) -> None:
    site.use({"interval": 50})
    page.add_init_script("Object.defineProperty(document, 'prerendering', { value: true, configurable: true })")
    page.goto(f"{site.url}{section}")
    page.evaluate("history.replaceState(null, '', location.pathname)")
    assert (stats(page)["queued"], stats(page)["accepted"]) == (0, 0)
    page.evaluate(
        """Object.defineProperty(document, "prerendering", { value: false });
           document.dispatchEvent(new Event("prerenderingchange"))"""
    )
    wait_for_empty_queue(page)
    assert views(pipeline, section, 1) == [{"url": section}]
    assert stats(page)["accepted"] == 1


def test_a_page_that_the_back_button_brings_back_as_it_was_has_another_view(
    page: Page, site: Site, pipeline: Pipeline, section: str
) -> None:
    site.use({"interval": 50})
    page.goto(f"{site.url}{section}")
    for persisted in ("false", "true"):
        page.evaluate(f"dispatchEvent(new PageTransitionEvent('pageshow', {{ persisted: {persisted} }}))")
    wait_for_empty_queue(page)
    assert len(views(pipeline, section, 2)) == 2


def test_only_the_value_true_is_consent(page: Page, site: Site) -> None:
    site.use({"interval": 50, "consent": "required"})
    page.goto(site.url)
    for answer in ("'false'", "'denied'", "1", "undefined"):
        assert page.evaluate(f"(tidemark.consent({answer}), tidemark.track('click'))") is None


@pytest.mark.parametrize("wish", ["doNotTrack: { value: '1' }", "globalPrivacyControl: { value: true }"])
def test_a_visitor_who_wants_no_tracking_is_not_tracked(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, section: str, wish: str
) -> None:
    site.use({"interval": 1})
    context.add_init_script(f"Object.defineProperties(navigator, {{ {wish} }})")
    sent = []
    page.on("request", lambda request: "/track" in request.url and request.method == "POST" and sent.append(request))
    page.goto(f"{site.url}{section}")
    calls = "[tidemark.track('click'), tidemark.consent(true), tidemark.track('click')]"
    assert page.evaluate(calls) == [None, None, None]
    flush(page)
    page.goto("about:blank")
    assert sent == []
    assert pipeline.collection.count_documents({"props.url": section}) == 0


def test_nothing_is_recorded_before_consent_and_nothing_is_left_after_its_withdrawal(
    context: BrowserContext, page: Page, site: Site, pipeline: Pipeline, user: str, section: str
) -> None:
    site.use({"interval": 50, "consent": "required"})
    page.goto(f"{site.url}{section}")
    page.evaluate(f"tidemark.identify('{user}'); tidemark.track('click', {{n: 0}})")
    assert page.evaluate("localStorage.length") == 0
    page.evaluate("tidemark.consent(true)")
    wait_for_empty_queue(page)
    assert views(pipeline, section, 1) == [{"url": section}]
    assert [each["event_type"] for each in pipeline.documents(user)] == ["page_view"]

    other = context.new_page()
    other.goto(f"{site.url}{section}")
    wait_for_empty_queue(other)
    context.set_offline(offline=True)
    for each in (page, other):
        each.evaluate("tidemark.track('click', {n: 1})")
    assert page.evaluate("(tidemark.consent(false), tidemark.stats().queued)") == 0
    # What the other tab had just written is removed by that tab.
    wait_for(page, "Object.entries(localStorage).join() === 'tidemark:consent,denied'")
    context.set_offline(offline=False)
    assert other.evaluate("[tidemark.track('click', {n: 2}), tidemark.stats().queued]") == [None, 0]
    assert [each["event_type"] for each in pipeline.documents(user)] == ["page_view", "page_view"]
