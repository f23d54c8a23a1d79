"""The dashboard in a browser with the whole pipeline behind it: what it shows is what MongoDB holds."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.local.ports import free_port
from tests.browser.conftest import WAIT_S, Pipeline, running_pipeline
from tests.browser.dashboard_page import figure, link, open_page, watched
from tests.conftest import Servers, settings_of_its_own
from tests.integration import dashboard_runs, ingest_api
from tests.integration.dashboard_runs import TOKEN
from tests.integration.ingest_api import wait_until

EVENTS_PER_S = 2_000
BATCH = 100
LOAD_S = 5.0


@pytest.fixture(scope="module")
def pipeline(
    chromium: str,  # noqa: ARG001  no servers for nothing
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """A pipeline whose events are these tests' alone."""
    logs = tmp_path_factory.mktemp("dashboard")
    with settings_of_its_own(servers, "d", port=free_port(), demo=True) as plain:
        settings = dashboard_runs.with_dashboard(plain, refresh_s=0.5)
        dashboard = dashboard_runs.child(settings, logs / "dashboard.log").start()
        try:
            with running_pipeline(settings, logs) as made:
                dashboard.wait_for_line("dashboard ready on", WAIT_S)
                yield made
        finally:
            dashboard.kill()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, viewport={"width": 1440, "height": 900}) as made:
        yield made


def address(pipeline: Pipeline) -> str:
    return f"http://127.0.0.1:{pipeline.settings.dashboard.port}"


def snapshot(page: Page) -> dict[str, Any]:
    """The figures that the page is sent, as numbers."""
    found: dict[str, Any] = page.evaluate("fetch('/snapshot').then(answer => answer.json())")
    return found


def stored_by(pipeline: Pipeline, field: str, **query: Any) -> Counter[str]:
    """How many documents have each value of ``field``."""
    groups = [{"$match": query}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]
    return Counter({each["_id"]: each["count"] for each in pipeline.collection.aggregate(groups) if each["_id"]})


def messages(pipeline: Pipeline) -> list[dict[str, Any]]:
    """All records of the event topics; in a thread, because Playwright has this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ingest_api.messages, pipeline.settings).result()


def counted_by_type(found: dict[str, Any]) -> Counter[str]:
    """How many events the chart of ten minutes shows of each type."""
    rates = found["activity"]["recent"]
    return Counter({each["name"]: round(sum(each["per_s"]) * rates["step_ms"] / 1000) for each in rates["series"]})


def users_of(pipeline: Pipeline, **query: Any) -> int:
    return len(pipeline.collection.distinct("user_id", query))


def test_a_visit_to_the_shop_shows_in_the_dashboard_with_the_counts_of_mongodb(
    page: Page, browser: Browser, pipeline: Pipeline
) -> None:
    open_page(page, link(address(pipeline), TOKEN))
    with watched(browser) as shop:
        shop.goto(f"{pipeline.api.url}/demo")
        shop.get_by_role("link", name="Harbour lamp").click()
        shop.goto(f"{pipeline.api.url}/demo/sign-up")
        shop.get_by_label("Name").fill("Ada")
        shop.get_by_role("button", name="Sign up").click()
        expect(shop.get_by_role("heading", name="Welcome, Ada")).to_be_visible()
        user = shop.locator("[data-user-id]").inner_text()
        wait_until(lambda: pipeline.collection.count_documents({"event_type": "signup"}) == 1, "the sign-up is stored")

    assert stored_by(pipeline, "event_type")["signup"] == 1
    records = messages(pipeline)  # more than documents, if the tracker sent an event again
    documents = len({each["event_id"] for each in records})
    assert pipeline.collection.count_documents({}) == documents
    expect(page.locator("#key > div:has(dt:text-is('Stored')) dd").first).to_have_text(str(documents))
    expect(page.locator("#key > div:has(dt:text-is('Events today')) dd").first).to_have_text(str(len(records)))
    expect(page.locator("#newest")).to_contain_text("signup")
    newest = page.locator("#newest tbody tr", has_text="signup")
    expect(newest).to_contain_text(user)
    steps = [
        users_of(pipeline, event_type="page_view"),
        users_of(pipeline, **{"event_type": "page_view", "props.url": {"$regex": "/sign-up"}}),
        users_of(pipeline, event_type="signup"),
    ]
    assert min(steps) == 1
    assert page.locator("#funnel .count").evaluate_all("all => all.map(each => +each.firstChild.data)") == steps
    names = page.locator("#pages .name").all_inner_texts()
    counts = [int(each) for each in page.locator("#pages .count").all_inner_texts()]
    assert Counter(dict(zip(names, counts, strict=True))) == Counter(
        each["props"]["url"] for each in records if "url" in (each["props"] or {})
    )
    assert set(names) == set(stored_by(pipeline, "props.url"))


class Load:
    """``EVENTS_PER_S`` through the API in batches, for ``LOAD_S``; one thread, which never sends faster."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.accepted = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        began_s = time.monotonic()
        for number in range(round(EVENTS_PER_S * LOAD_S / BATCH)):
            time.sleep(max(0.0, began_s + number * BATCH / EVENTS_PER_S - time.monotonic()))
            batch = [
                {
                    "event": ("page_view", "signup", "load")[each % 3],
                    "user_id": f"load-{(number * BATCH + each) % 997}",
                    "props": {"url": f"/load/{each % 7}", "ref": "a load"},
                }
                for each in range(BATCH)
            ]
            answer = ingest_api.post(self._pipeline.api, "/track/batch", batch)
            if answer.status == 200:
                self.accepted += BATCH - len(answer.json["rejected"])


def held(page: Page) -> tuple[float, float]:
    """How many DOM nodes and listeners the page holds, what nobody needs any more put away."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return found["Nodes"], found["JSEventListeners"]


def test_under_load_the_page_goes_on_and_ends_with_the_counts_of_mongodb(page: Page, pipeline: Pipeline) -> None:
    mine = {"user_id": {"$regex": "^load-"}}
    open_page(page, link(address(pipeline), TOKEN))
    seen: list[str] = []
    with Load(pipeline) as load:
        while load.running:
            seen.append(figure(page, "Accepted"))
            page.wait_for_timeout(250)
    assert load.accepted == EVENTS_PER_S * LOAD_S
    assert len(set(seen)) >= 4, seen
    wait_until(lambda: pipeline.collection.count_documents(mine) == load.accepted, "all is stored")
    stored = pipeline.collection.count_documents({})
    records = messages(pipeline)
    again = len(records) - stored  # what the tracker of the shop sent twice is counted twice, and stored once
    expect(page.locator("#key > div:has(dt:text-is('Stored')) dd").first).to_have_text(f"{stored:,}")
    expect(page.locator("#key > div:has(dt:text-is('Stored')) dd.note")).to_have_text(
        f"documents; {again} fewer than accepted" if again else "documents, as many as accepted"
    )
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if pipeline.collection.count_documents({"timestamp": {"$lt": midnight}}) == 0:  # no midnight within these tests
        expect(page.locator("#key > div:has(dt:text-is('Events today')) dd").first).to_have_text(f"{len(records):,}")
    expect(page.locator("#key > div:has(dt:text-is('Backlog')) dd").first).to_have_text("0")
    # Ten minutes are on the chart, in whole steps of ten seconds: the last event is in it a little later.
    by_type = Counter(each["event"] for each in records)
    assert by_type["load"] == stored_by(pipeline, "event_type")["load"]
    wait_until(lambda: counted_by_type(snapshot(page)) == by_type, "the chart has these counts")
    found = snapshot(page)["activity"]["last_hour"]
    pages = {each["name"]: each["count"] for each in found["pages"]["names"] if each["name"].startswith("/load/")}
    assert pages == dict(stored_by(pipeline, "props.url", **mine))
    assert found["pages"]["missed"] == 0
    users = len(pipeline.collection.distinct("user_id"))
    assert snapshot(page)["activity"]["users_today"] == pytest.approx(users, rel=0.05)


@pytest.mark.slow
def test_the_page_holds_no_more_after_many_snapshots(page: Page, pipeline: Pipeline) -> None:
    open_page(page, link(address(pipeline), TOKEN))
    ingest_api.post(pipeline.api, "/track/batch", [{"event": "page_view", "user_id": str(each)} for each in range(50)])
    expect(page.locator("#newest tbody tr")).to_have_count(50)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    expect(page.locator("#rates-table tbody tr").first).to_be_visible()
    page.wait_for_timeout(2_000)
    nodes, listeners = held(page)
    page.evaluate(
        """() => new Promise(done => { let left = 12; const more = new EventSource('/live');
             more.addEventListener('snapshot', () => { if (!--left) { more.close(); done(); } }); })"""
    )
    nodes_after, listeners_after = held(page)
    assert nodes_after <= 1.1 * nodes
    assert listeners_after <= 1.1 * listeners


@pytest.mark.slow
def test_a_dashboard_that_is_killed_and_started_again_is_found_again(
    page: Page, pipeline: Pipeline, tmp_path: Path
) -> None:
    mine = dashboard_runs.with_dashboard(pipeline.settings)  # on a port of its own, beside the other one
    dashboard = dashboard_runs.child(mine, tmp_path / "dashboard.log").start()
    try:
        dashboard.wait_for_line("dashboard ready on", WAIT_S)
        open_page(page, link(f"http://127.0.0.1:{mine.dashboard.port}", TOKEN))
        expect(page.locator("#connection")).to_contain_text("live, ")
        stored = figure(page, "Stored")
        dashboard.kill()
        expect(page.locator("#banners")).to_contain_text("The dashboard does not answer.")
        assert figure(page, "Stored") == stored
        dashboard.start()
        expect(page.locator("#connection")).to_contain_text("live, ")
        expect(page.locator("#banners p")).to_have_count(0)
        dashboard.send_signal(signal.SIGSTOP)  # its connections stay open, and nothing comes
        expect(page.locator("#banners")).to_contain_text("Nothing came from the dashboard for a while.")
        assert figure(page, "Stored") == stored
        dashboard.send_signal(signal.SIGCONT)
        expect(page.locator("#connection")).to_contain_text("live, ")
    finally:
        dashboard.send_signal(signal.SIGCONT)
        dashboard.kill()
