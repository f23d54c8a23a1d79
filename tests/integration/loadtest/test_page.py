"""Locust's page as a user sees it: the load is the first field, and events/s stand beside requests/s."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration import chromium
from tests.integration.loadtest.loadtest_runs import free_port, start
from tests.integration.loadtest.loadtest_target import Target

pytestmark = pytest.mark.skipif(not chromium.BINARY, reason="Chromium is not installed: apt-get install chromium")

_FIELDS = "[...document.querySelectorAll('input, select')]"
_IS_SEEN = "each => each.checkVisibility()"
_BAR = "Object.fromEntries([...document.querySelectorAll('#tidemark [data-is]')].map(e => [e.dataset.is, e.innerText]))"


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as one:
        yield one


@pytest.fixture(params=[(), pytest.param(("--processes", "2"), marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, target: Target) -> Iterator[str]:
    port = free_port()
    locust = start("--web-port", str(port), *request.param, target=target)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        locust.terminate()
        locust.wait(timeout=60)


@pytest.fixture
def browser(url: str) -> Iterator[chromium.Browser]:
    with chromium.Browser() as one:
        one.size(1280, 900)
        for _ in range(100):  # until Locust listens
            one.open(url)
            if one.value("!!document.getElementById('start')"):
                break
        yield one


def test_the_start_form_begins_with_the_load_and_keeps_rare_options_folded(browser: chromium.Browser) -> None:
    names = browser.value(f"{_FIELDS}.map(each => each.name)")
    seen = browser.value(f"{_FIELDS}.filter({_IS_SEEN}).map(each => each.name)")
    assert seen == ["offered_load", "host", "duration", "scenario"]
    assert not {"user_count", "spawn_rate"} & set(names)
    assert {"senders", "seed", "event_mix", "ledger"} <= set(names)
    assert "A fixed pool of senders (Locust's users)" in re.sub(r"\s+", " ", browser.text())


def test_a_wrong_value_starts_nothing_and_the_form_says_why(browser: chromium.Browser, target: Target) -> None:
    browser.fill("event_mix", "page_view=inf")
    browser.press("Start")
    said = browser.wait_for("document.getElementById('alert').innerText")
    assert said.startswith("--event-mix='page_view=inf' cannot be used: write TYPE=WEIGHT")
    assert not target.served


def test_a_test_that_runs_shows_events_beside_requests_and_new_begins_with_the_load(
    browser: chromium.Browser, target: Target
) -> None:
    browser.fill("offered_load", "800")
    browser.fill("senders", "50")
    browser.press("Start")
    browser.wait_for("!!document.getElementById('tidemark')")
    browser.wait_for("document.querySelector('[data-is=accepted_per_s]').innerText > '100'")
    shown = browser.value(_BAR)
    assert shown["asked"] == "800 events/s, constant"
    assert float(shown["offered_per_s"]) > 5 * float(shown["requests_per_s"]) > 0
    assert "RPS counts requests" in browser.value("document.querySelector('#tidemark details').textContent")
    # Locust's own page is below it, without the form that edits users.
    seen = browser.value(f"[...document.querySelectorAll('button')].filter({_IS_SEEN}).map(e => e.textContent.trim())")
    assert "Stop" in seen
    assert "Edit" not in seen
    browser.press("Stop")
    ended = browser.wait_for(
        "document.querySelector('[data-is=so_far]').innerText.startsWith('The test has ended')"
        " && document.querySelector('[data-is=so_far]').innerText"
    )
    offered = re.search(r"([\d,]+) events offered", ended)
    assert offered
    assert int(offered[1].replace(",", "")) == len(target.tidemarks)
    browser.press("New")
    browser.wait_for("!!document.getElementById('start')")
    assert browser.value("document.querySelector('[name=offered_load]').value") == "800"


def test_on_a_phone_nothing_is_cut_off(browser: chromium.Browser) -> None:
    browser.size(390, 844)
    assert browser.value("document.documentElement.scrollWidth") <= 390
    browser.press("Start")
    browser.wait_for("!!document.getElementById('tidemark')")
    assert browser.value("document.getElementById('tidemark').scrollWidth") <= 390


def test_where_nobody_answers_the_page_says_what_to_start(browser: chromium.Browser) -> None:
    browser.fill("host", f"http://127.0.0.1:{free_port()}")
    browser.fill("senders", "50")
    browser.press("Start")
    browser.wait_for("!!document.getElementById('tidemark')")
    said = browser.wait_for("document.querySelector('[data-is=error]').innerText")
    assert said.startswith("No request was answered. Is an API at http://127.0.0.1:")
    assert "./tidemark up starts one" in said
