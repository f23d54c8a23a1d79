"""The demonstration shop: a visit in a real browser, to MongoDB and back into the list beside the shop."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import WAIT_S, Pipeline
from tests.integration import ingest_api
from tests.integration.ingest_api import wait_until

PAGES = ("", "/lamp", "/basket", "/sign-up", "/welcome")
expect.set_options(timeout=WAIT_S * 1000)


@pytest.fixture
def shop(page: Page, pipeline: Pipeline) -> Page:
    """The shop's first page. What the console complains of, such as a breach of its policy, fails the test."""
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: (
            message.type == "error" and "ERR_INTERNET" not in message.text and complaints.append(message.text)
        ),
    )
    page.goto(f"{pipeline.api.url}/demo")
    yield page
    assert complaints == []


def figures(page: Page) -> dict[str, str]:
    """The figures above the list."""
    names = ("queued", "accepted", "stored", "median")
    return {name: page.locator(f"[data-figure={name}]").inner_text() for name in names}


def test_a_visit_shows_each_event_s_way_to_mongodb(shop: Page, pipeline: Pipeline) -> None:
    shop.get_by_role("link", name="Harbour lamp").click()
    shop.get_by_role("button", name="Put into the basket").click()
    shop.get_by_role("link", name="Next: Galley kettle").click()
    shop.get_by_role("link", name="Sign up").click()
    shop.get_by_label("Name").fill("Ada")
    shop.get_by_role("button", name="Sign up").click()
    expect(shop.get_by_role("heading", name="Welcome, Ada")).to_be_visible()

    names = ["page_view", "page_view", "add_to_basket", "page_view", "page_view", "identify", "signup", "page_view"]
    expect(shop.locator("[data-events] .latency")).to_have_count(len(names))
    found = shop.locator("[data-events] .type").all_inner_texts()
    assert found[::-1] == names
    assert [figures(shop)[each] for each in ("queued", "stored")] == [str(len(names))] * 2
    assert figures(shop)["median"].endswith(" ms")

    user = shop.locator("[data-user-id]").inner_text()
    stored = list(pipeline.collection.find({"user_id": user}).sort("event_type"))
    assert [each["event_type"] for each in stored] == ["identify", "page_view", "signup"]
    assert stored[2]["props"] == {"plan": "free"}
    assert "Ada" not in json.dumps([each["props"] for each in stored])


def test_the_list_says_what_the_events_wait_for(context: BrowserContext, shop: Page) -> None:
    expect(shop.locator("[data-events] .latency")).to_have_count(1)
    context.set_offline(offline=True)
    shop.get_by_role("button", name="Send 50 events").click()
    expect(shop.get_by_role("status").filter(has_text="Nothing answers.")).to_be_visible()
    assert figures(shop)["queued"] == "51"
    assert figures(shop)["stored"] == "1"
    context.set_offline(offline=False)
    expect(shop.locator("[data-events] .latency")).to_have_count(51)
    expect(shop.get_by_role("status").filter(has_text="Nothing answers.")).to_be_hidden()


def test_withdrawn_consent_ends_the_recording_until_it_is_given_again(shop: Page) -> None:
    expect(shop.locator("[data-events] .latency")).to_have_count(1)
    consent = shop.get_by_role("switch", name="Consent to tracking")
    consent.uncheck()
    shop.get_by_role("button", name="Send 50 events").click()
    shop.reload()
    expect(consent).not_to_be_checked()
    assert figures(shop)["queued"] == "1"
    consent.check()
    expect(shop.locator("[data-events] .latency")).to_have_count(2)


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        *((path, "light") for path in PAGES),
        ("", "dark"),
        *(pytest.param(path, "dark", marks=pytest.mark.slow) for path in PAGES[1:]),
    ],
)
def test_axe_finds_no_serious_fault(browser: Browser, pipeline: Pipeline, path: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script that the policy forbids
    try:
        page = context.new_page()
        page.goto(f"{pipeline.api.url}/demo{path}")
        expect(page.locator("[data-events] .latency")).to_have_count(1)
        found = Axe().run(page).response["violations"]
    finally:
        context.close()
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone_nothing_is_cut_off(browser: Browser, pipeline: Pipeline, path: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        page.goto(f"{pipeline.api.url}/demo{path}")
        expect(page.locator("[data-brief]")).to_contain_text("1 of 1 stored")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    finally:
        context.close()


def test_a_shop_whose_api_asks_for_a_key_says_how_to_give_one(
    page: Page, pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    locked = ingest_api.with_api(pipeline.settings, port=0, write_keys=("the key",))
    with ingest_api.running(locked, tmp_path_factory.mktemp("locked")) as api:
        page.goto(f"{api.url}/demo")
        expect(page.get_by_role("status").filter(has_text="The API answered 401")).to_contain_text("write_key=")
        page.goto(f"{api.url}/demo?write_key=the%20key")
        expect(page.locator("[data-events] .latency")).to_have_count(2)


def test_the_shop_works_by_keyboard(shop: Page, pipeline: Pipeline) -> None:
    shop.keyboard.press("Tab")
    expect(shop.get_by_role("link", name="Skip to the shop")).to_be_focused()
    shop.keyboard.press("Enter")
    shop.keyboard.press("Tab")
    expect(shop.get_by_role("link", name="Harbour lamp")).to_be_focused()
    shop.keyboard.press("Enter")
    expect(shop.get_by_role("heading", name="Harbour lamp")).to_be_visible()
    wait_until(lambda: pipeline.collection.count_documents({"props.url": "/demo/lamp"}) > 0, "the view is stored")
