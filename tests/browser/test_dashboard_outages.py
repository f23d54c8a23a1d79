"""The dashboard's page while MongoDB or Kafka is away: stopped, killed, and back. Servers of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline import provision
from pipeline.local.ports import free_port
from pipeline.local.stack import LocalStack
from pipeline.settings import Kafka, Local, Mongo, Settings, Worker
from tests.browser.conftest import WAIT_S, Pipeline, running_pipeline
from tests.browser.dashboard_page import figure, link, note, open_page, watched
from tests.integration import dashboard_runs, ingest_api
from tests.integration.dashboard_runs import TOKEN
from tests.integration.ingest_api import wait_until

pytestmark = pytest.mark.slow
NAMES = ("Events today", "Stored", "Users today")


@pytest.fixture(scope="module")
def stack(
    chromium: str,  # noqa: ARG001  no servers for nothing
    parts_are_there: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalStack]:
    with LocalStack(Local(), logs_dir=tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """API, worker and dashboard on servers that may be stopped and killed."""
    logs = tmp_path_factory.mktemp("dashboard")
    plain = Settings(
        kafka=Kafka(bootstrap_servers=stack.kafka_bootstrap_servers, partitions=3),
        mongo=Mongo(uri=stack.mongo_uri),
        worker=Worker(retry_pause_s=0.2),
    )
    settings = dashboard_runs.with_dashboard(ingest_api.with_api(plain, port=free_port()))
    asyncio.run(_prepare(settings))
    dashboard = dashboard_runs.child(settings, logs / "dashboard.log").start()
    try:
        with running_pipeline(settings, logs) as made:
            dashboard.wait_for_line("dashboard ready on", WAIT_S)
            yield made
    finally:
        dashboard.kill()


async def _prepare(settings: Settings) -> None:
    await provision.create_topics(settings.kafka)
    await provision.create_indexes(settings.mongo)


@pytest.fixture
def page(browser: Browser, pipeline: Pipeline) -> Iterator[Page]:
    """The page, with figures that are not zero, and everything well."""
    with watched(browser, viewport={"width": 1440, "height": 900}) as made:
        open_page(made, link(f"http://127.0.0.1:{pipeline.settings.dashboard.port}", TOKEN))
        send(pipeline, 20)
        settled(made, pipeline)
        yield made


def send(pipeline: Pipeline, count: int) -> None:
    batch = [{"event": "page_view", "user_id": str(each), "props": {"url": "/"}} for each in range(count)]
    wait_until(lambda: ingest_api.post(pipeline.api, "/track/batch", batch).status == 200, "the API takes events")


def settled(page: Page, pipeline: Pipeline) -> None:
    """Everything answers, and what is shown is what MongoDB holds."""
    expect(page.locator("#banners p")).to_have_count(0)
    expect(page.locator(".old")).to_have_count(0)
    wait_until(lambda: figure(page, "Stored") == f"{pipeline.collection.count_documents({}):,}", "as many as stored")
    wait_until(
        lambda: figure(page, "Events today") == figure(page, "Accepted") == figure(page, "Stored"), "all counted"
    )


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_with_mongodb_away_the_page_keeps_its_figures_and_recovers_alone(
    page: Page, pipeline: Pipeline, stack: LocalStack, how: str
) -> None:
    before = {name: figure(page, name) for name in NAMES}
    accepted = int(figure(page, "Accepted"))
    stack.mongod.send_signal(signal.SIGSTOP) if how == "stopped" else stack.mongod.kill()
    try:
        expect(page.locator("#banners")).to_contain_text("MongoDB at")
        expect(page.locator("#banners")).to_contain_text("does not answer (since")
        send(pipeline, 30)
        wait_until(lambda: figure(page, "Accepted") == f"{accepted + 30:,}", "Kafka's figures go on")
        assert {name: figure(page, name) for name in NAMES} == before
        assert all("as of" in note(page, name) for name in NAMES)
        expect(page.locator("#events-words")).to_contain_text("MongoDB did not answer in time.")
        assert page.locator("#newest tbody tr").count() > 0
    finally:
        stack.mongod.send_signal(signal.SIGCONT) if how == "stopped" else stack.mongod.start()
        stack.wait_for_mongod()
    settled(page, pipeline)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_with_kafka_away_the_page_keeps_its_figures_and_recovers_alone(
    page: Page, pipeline: Pipeline, stack: LocalStack, how: str
) -> None:
    accepted = figure(page, "Accepted")
    stack.kafka.send_signal(signal.SIGSTOP) if how == "stopped" else stack.kafka.kill()
    try:
        expect(page.locator("#banners")).to_contain_text("Kafka at")
        assert figure(page, "Accepted") == accepted
        assert "as of" in note(page, "Accepted")
        assert "as of" not in note(page, "Stored")
        pipeline.collection.insert_one({"event_type": "another_program"})
        expect(page.locator("#key > div:has(dt:text-is('Stored')) dd").first).to_have_text(
            f"{pipeline.collection.count_documents({}):,}"
        )
    finally:
        pipeline.collection.delete_many({"event_type": "another_program"})
        stack.kafka.send_signal(signal.SIGCONT) if how == "stopped" else stack.kafka.start()
        stack.wait_for_kafka()
    send(pipeline, 10)
    settled(page, pipeline)
