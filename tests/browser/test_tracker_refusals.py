"""The tracker and an API that cannot take events now: it waits as long as it is asked to, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs
from playwright.sync_api import Page, Response

from pipeline.local.ports import free_port
from tests.browser.conftest import Pipeline, stats, wait_for, wait_for_empty_queue
from tests.browser.site import QUICK, Site
from tests.integration.ingest_api import running, with_api

Clicks = Callable[..., None]


class Attempts:
    """The answers to a page's batches, and by the page's own clock when each request began."""

    def __init__(self, page: Page) -> None:
        self.responses: list[Response] = []
        page.on("response", lambda response: "/track/batch" in response.url and self.responses.append(response))

    @property
    def statuses(self) -> list[int]:
        return [each.status for each in self.responses]

    def pauses_s(self) -> list[float]:
        began = [each.request.timing["startTime"] / 1000 for each in self.responses]
        return [after - before for before, after in pairwise(began)]


def test_503_is_retried_after_the_time_that_the_api_asks_for(
    page: Page, pipeline: Pipeline, user: str, clicks: Clicks, tmp_path: Path
) -> None:
    own = with_api(pipeline.settings, port=free_port())
    away = structs.replace(own, kafka=structs.replace(own.kafka, bootstrap_servers="127.0.0.1:1"))
    attempts = Attempts(page)
    with Site(f"http://127.0.0.1:{own.api.port}") as site:
        site.use(QUICK)
        with running(away, tmp_path, kafka=False):
            page.goto(site.url)
            clicks(page, user, 120)
            wait_for(page, "localStorage.getItem('tidemark:until') !== null")
            page.reload()  # the pause holds for the next page too
            clicks(page, user, 130, first=120)
            page.wait_for_event("response", lambda response: "/track/batch" in response.url)
        with running(own, tmp_path):
            wait_for_empty_queue(page)
    assert attempts.statuses[:2] == [503, 503]
    asked_s = [float(each.headers["retry-after"]) for each in attempts.responses if each.status == 503]
    assert min(asked_s) >= 1
    for waited, asked in zip(attempts.pauses_s(), asked_s, strict=False):
        assert waited >= asked
    pipeline.assert_stored_once(user, 130)


def test_429_is_retried_with_fewer_events(
    page: Page, pipeline: Pipeline, user: str, clicks: Clicks, tmp_path: Path
) -> None:
    # With two write keys each may hold three quarters of what may be in flight: 75 events, fewer than a request has.
    bounds = {"max_in_flight_events": 100, "max_batch_events": 100, "write_keys": ("first", "second")}
    limited = with_api(pipeline.settings, port=free_port(), **bounds)
    attempts = Attempts(page)
    with running(limited, tmp_path) as api, Site(api.url) as site:
        site.use({**QUICK, "key": "first"})
        page.goto(site.url)
        clicks(page, user, 200)
        wait_for_empty_queue(page)
        assert attempts.statuses[0] == 429
        assert attempts.pauses_s()[0] >= float(attempts.responses[0].headers["retry-after"])
    pipeline.assert_stored_once(user, 200)


def test_events_outlast_a_wrong_write_key(
    page: Page, pipeline: Pipeline, user: str, clicks: Clicks, tmp_path: Path
) -> None:
    locked = with_api(pipeline.settings, port=free_port(), write_keys=("right",))
    attempts = Attempts(page)
    with running(locked, tmp_path) as api, Site(api.url) as site:
        site.use({**QUICK, "key": "wrong"})
        page.goto(site.url)
        with page.expect_response("**/track/batch*"):
            clicks(page, user, 5)
        assert stats(page)["queued"] == 5
        site.use({**QUICK, "key": "right"})
        page.reload()
        wait_for_empty_queue(page)
        assert (attempts.statuses[0], attempts.statuses[-1]) == (401, 200)
    pipeline.assert_stored_once(user, 5)


def test_an_event_that_the_api_refuses_is_counted_and_costs_none_of_the_others(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    page.evaluate(
        """() => addEventListener("tidemark", ({detail}) => { if (detail.reason) window.reason = detail.reason })"""
    )
    clicks(page, user, 5)
    page.evaluate("""tidemark.track("", { n: 99 })""")
    wait_for_empty_queue(page)
    assert {**stats(page), "accepted": 5, "rejected": 1} == stats(page)
    assert page.evaluate("window.reason").startswith("event:")
    pipeline.assert_stored_once(user, 5)


@pytest.mark.parametrize(
    "call",
    [
        "const props = {}; props.self = props; tidemark.track('click', props)",
        "tidemark.track('click', {n: 1n})",
        "tidemark.track()",
        "tidemark.track('click', {get n() { throw new Error('mine') }})",
        "tidemark.identify(Symbol())",
        "tidemark.page(null); tidemark.consent(); tidemark.init(); tidemark.init(5)",
    ],
)
def test_no_mistake_of_the_page_comes_back_to_it(page: Page, site: Site, call: str) -> None:
    page.goto(site.url)
    assert page.evaluate(f"() => {{ try {{ {call}; return 'went on' }} catch (error) {{ return `${{error}}` }} }}") == (
        "went on"
    )


def test_text_that_was_cut_within_a_character_is_stored(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    clicks(page, user, 0)
    page.evaluate(
        r"""tidemark.track("click", { n: 0, cut: "tide \u{1f30a}".slice(0, -1), kept: "\\ud83d \u{1f30a}" })"""
    )
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 1)
    props = pipeline.documents(user)[0]["props"]
    assert (props["cut"], props["kept"]) == ("tide �", "\\ud83d \U0001f30a")


def test_a_listener_of_the_page_that_fails_costs_no_event(
    page: Page, site: Site, pipeline: Pipeline, user: str, clicks: Clicks
) -> None:
    page.goto(site.url)
    page.evaluate("addEventListener('tidemark', () => { throw new Error('own mistake') })")
    clicks(page, user, 3)
    wait_for_empty_queue(page)
    pipeline.assert_stored_once(user, 3)
