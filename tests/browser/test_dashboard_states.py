"""The dashboard as a person sees it: every state, both widths, hostile events, the keyboard and a screen reader.

Its figures are those of each test: so each state can be reached, and stay. The real ones are in test_dashboard.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.dashboard.view import ShownEvent
from tests.browser.dashboard_page import Served, figure, link, note, open_page, serious_faults, served, watched
from tests.integration.ingest_api import wait_until
from tests.unit.pipeline.dashboard.records import event
from tests.unit.pipeline.dashboard.server import Figures, figures

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
STALE = "MongoDB at db:27017 does not answer (since"


@pytest.fixture(scope="module")
def pipeline() -> None:
    """None: these tests need no servers."""


@pytest.fixture
def shown() -> Figures:
    return figures([event(each, str(each % 3), url=f"/page/{each % 2}", ref="google") for each in range(30)])


@pytest.fixture
def dashboard(shown: Figures) -> Iterator[Served]:
    with served(shown) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, viewport={"width": 1440, "height": 900}) as made:
        yield made


def test_figures_charts_and_lists_are_shown(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    expect(page.locator("#rates-chart .scatterlayer path.js-line")).to_have_count(1)
    expect(page.locator("#latency-chart .scatterlayer path.js-line")).to_have_count(3)
    for words in ("/page/0", "google", "page view with /signup", "tidemark-worker 1a2b3c4d", '{"url": "/home"}'):
        expect(page.locator("main")).to_contain_text(words)
    expect(page.locator("#connection")).to_contain_text("live, ")


def test_what_an_event_contains_is_text_and_nothing_else(page: Page, dashboard: Served, shown: Figures) -> None:
    hostile = figures([event(each, HOSTILE, kind=HOSTILE, url=HOSTILE, ref=HOSTILE) for each in range(30)])
    shown.activity = hostile.activity
    shown.events = [ShownEvent(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    open_page(page, dashboard.link)
    expect(page.locator("#newest tbody tr")).to_have_count(1)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    expect(page.locator("#rates-chart .legendtext")).to_have_count(1)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Tidemark dashboard"
    assert page.locator("main").inner_text().count(HOSTILE) >= 4


def test_characters_that_cannot_be_seen_are_shown_by_their_number(
    page: Page, dashboard: Served, shown: Figures
) -> None:
    names = ("a\u202eb", "a\x00\x1b[31mb", "__proto__", "constructor")
    shown.activity = figures([event(at, kind=name, url=name) for at, name in enumerate(names)]).activity
    shown.events = [ShownEvent(name, name, name, name, name) for name in names]
    open_page(page, dashboard.link)
    expect(page.locator("#newest tbody tr")).to_have_count(4)
    assert page.locator("#newest td:nth-child(2)").all_inner_texts() == [
        "a\\u202eb", "a\\u0000\\u001b[31mb", "__proto__", "constructor"
    ]  # fmt: skip
    assert sorted(page.locator("#pages .name").all_inner_texts()) == [
        "__proto__", "a\\u0000\\u001b[31mb", "a\\u202eb", "constructor"
    ]  # fmt: skip


def test_very_many_types_stay_a_readable_page(page: Page, dashboard: Served, shown: Figures) -> None:
    names = [f"{'very_long_' * 19}{at}" for at in range(3_000)]
    shown.activity = figures([event(at, str(at), kind=name, url="/" + name) for at, name in enumerate(names)]).activity
    open_page(page, dashboard.link)
    page.locator("details").first.evaluate("each => each.open = true")
    expect(page.locator("#rates-table th")).to_have_count(1 + 12)
    assert page.locator("#rates-table th").last.inner_text() == "(other)"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.locator("*").count() < 3_000


# ---- states --------------------------------------------------------------------------------------------------------


def test_before_the_first_figures_the_page_says_that_it_waits(page: Page, dashboard: Served) -> None:
    page.route("**/live", lambda _: None)  # no answer
    page.goto(dashboard.link)
    expect(page.locator("#loading")).to_contain_text("Waiting for the first figures")
    expect(page.locator("#connection")).to_have_text("connecting")
    assert page.locator("#key > div").count() == 0


def test_a_part_that_never_answered_has_no_figures_and_no_zeroes(page: Page, dashboard: Served, shown: Figures) -> None:
    shown.mongo_is_away = shown.kafka_is_away = True
    open_page(page, dashboard.link)
    assert set(page.locator("#key dd:first-of-type").all_inner_texts()) == {"?"}
    assert set(page.locator("#key dd.note").all_inner_texts()) == {"not known yet"}
    assert page.locator("#banners p").count() == 2
    expect(page.locator("#banners")).to_contain_text("There are no figures of it yet.")
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#pages")).to_have_text("MongoDB has not answered yet.")
    expect(page.locator("#groups")).to_have_text("Kafka has not answered yet.")


def test_with_no_event_yet_the_page_says_so(page: Page, dashboard: Served, shown: Figures) -> None:
    nothing = figures([])
    shown.activity, shown.health, shown.events, shown.stored = nothing.activity, nothing.health, [], 0
    open_page(page, dashboard.link)
    expect(page.locator("#events-words")).to_have_text("No event.")
    expect(page.locator("#rates-chart")).to_be_hidden()
    for words in ("No event yet.", "No event in this span.", "No event with a page", "No sample in the last"):
        expect(page.locator("main")).to_contain_text(words)


def test_that_no_event_came_is_said_only_where_kafka_says_so(page: Page, dashboard: Served, shown: Figures) -> None:
    shown.activity, shown.kafka_is_away = figures([]).activity, True
    open_page(page, dashboard.link)
    expect(page.locator("#banners p")).to_have_count(1)
    expect(page.locator("#empty")).to_be_hidden()


def test_with_mongodb_away_the_last_figures_stay_and_are_marked(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    names = ("Events today", "Users today", "Stored", "Delivery latency p99")
    before = [figure(page, name) for name in names]
    shown.mongo_is_away = True
    expect(page.locator("#banners")).to_contain_text(STALE)
    expect(page.locator("#banners")).to_contain_text("Its figures are from")
    assert [figure(page, name) for name in names] == before
    for name in names:
        assert "as of" in note(page, name)
    assert "as of" not in note(page, "Accepted")
    expect(page.locator(".card:has(#pages) h3").first).to_contain_text("as of")
    expect(page.locator(".card:has(#groups) h3").first).not_to_contain_text("as of")
    expect(page.locator("#connection")).to_have_text("connected, but some figures are old")
    shown.mongo_is_away = False
    expect(page.locator("#banners p")).to_have_count(0)
    expect(page.locator(".old")).to_have_count(0)
    assert page.locator("#banners").get_attribute("role") == "status"


def test_what_was_accepted_since_is_not_set_against_an_old_figure(
    page: Page, dashboard: Served, shown: Figures
) -> None:
    open_page(page, dashboard.link)
    assert note(page, "Stored") == "documents, as many as accepted"
    shown.mongo_is_away = True
    more = figures([event(each) for each in range(77)])
    shown.health = more.health
    expect(page.locator("#key > div:has(dt:text-is('Accepted')) dd").first).to_have_text("77")
    assert note(page, "Stored").startswith("documents in MongoDB; as of")


def test_with_kafka_away_its_figures_are_marked_and_mongodbs_go_on(
    page: Page, dashboard: Served, shown: Figures
) -> None:
    open_page(page, dashboard.link)
    shown.kafka_is_away = True
    expect(page.locator("#banners")).to_contain_text("Kafka at kafka:9092 does not answer (since")
    shown.stored = 4_321
    expect(page.locator("#key > div:has(dt:text-is('Stored')) dd").first).to_have_text("4,321")
    assert figure(page, "Accepted") == "30"
    assert "as of" in note(page, "Accepted")


def test_when_the_dashboard_ends_the_page_says_so_and_keeps_its_figures(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    dashboard.loop.call_soon_threadsafe(dashboard.hub.close)  # what is open ends, and nothing new is let in
    expect(page.locator("#connection")).to_have_text("not connected")
    expect(page.locator("#banners")).to_contain_text("These figures are from")
    assert figure(page, "Accepted") == "30"
    assert "as of" in note(page, "Accepted")


@pytest.mark.slow
def test_a_page_too_many_says_so_and_comes_in_when_there_is_room(browser: Browser, shown: Figures) -> None:
    with served(shown, most=1) as dashboard, watched(browser) as late:
        with watched(browser) as first:
            open_page(first, dashboard.link)
            late.goto(dashboard.link)
            expect(late.locator("#banners")).to_contain_text("too many pages look at this dashboard")
        expect(late.locator("#connection")).to_contain_text("live, ")


def test_a_changed_token_is_said_and_the_new_one_can_be_entered(browser: Browser, shown: Figures) -> None:
    with watched(browser) as page:
        with served(shown) as before:
            port = int(before.url.rsplit(":", 1)[1])
            open_page(page, before.link)
        with served(shown, token="another-token-of-it", port=port):  # noqa: S106  this test's
            expect(page.locator("#banners")).to_contain_text("The token is not valid any more")
            assert figure(page, "Accepted") == "30"
            page.get_by_role("link", name="Enter the token").click()
            page.get_by_label("Token").fill("another-token-of-it")
            page.get_by_role("button", name="Open").click()
            expect(page.locator("#connection")).to_contain_text("live, ")


@pytest.mark.slow
def test_two_dashboards_of_one_host_keep_their_visitors(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    with served(shown, token="another-token-of-it") as other:  # noqa: S106  this test's
        open_page(page, link(other.url, "another-token-of-it"))
        open_page(page, dashboard.url)
        open_page(page, other.url)


def test_the_token_stays_in_no_address_no_history_and_no_request(page: Page, dashboard: Served) -> None:
    requests: list[str] = []
    page.on("request", lambda each: requests.append(each.url + str(each.headers)))
    open_page(page, dashboard.link)
    assert page.url == f"{dashboard.url}/"
    assert "token" not in str(page.evaluate("[performance.getEntries().map(each => each.name), document.cookie]"))
    assert [each for each in requests if "token=" in each] == requests[:1]
    page.goto("about:blank")
    page.go_back()
    assert page.url == f"{dashboard.url}/"


def test_a_browser_whose_clock_is_wrong_shows_the_same(page: Page, dashboard: Served) -> None:
    page.add_init_script("{ const now = Date.now; Date.now = () => now() + 86400000; }")
    open_page(page, dashboard.link)
    expect(page.locator("#connection")).to_have_text("live, 0 s old")
    expect(page.locator("#latency-chart .scatterlayer path.js-line")).to_have_count(3)
    ends = page.evaluate("document.getElementById('latency-chart').layout.xaxis.range.map(each => +new Date(each))")
    assert page.evaluate("Date.now()") - ends[1] > 86_000_000


# ---- controls ------------------------------------------------------------------------------------------------------


def test_the_theme_can_be_chosen_and_stays(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_label("Theme").select_option("dark")
    dark = page.evaluate(background)
    page.reload()
    assert light != dark == page.evaluate(background)


def test_a_filter_is_sent_and_a_pause_keeps_the_list(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    page.get_by_role("textbox", name="Type").fill("sign&up")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#events-words")).to_contain_text("that fit")
    assert "sign&up" in [each.event_type for each in shown.asked]
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#events-words")).to_contain_text("Paused.")
    asked = len(shown.asked)
    page.wait_for_timeout(1_000)
    assert len(shown.asked) == asked


def test_a_filter_works_while_the_list_is_paused(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#events-words")).to_contain_text("Paused.")
    page.get_by_role("textbox", name="User").fill("nobody else")
    page.get_by_role("button", name="Filter").click()
    wait_until(lambda: shown.asked[-1].user_id == "nobody else", "the filter is asked for")


def test_answers_that_are_slower_than_snapshots_are_shown_all_the_same(
    page: Page, dashboard: Served, shown: Figures
) -> None:
    shown.search_s = 0.7  # snapshots come more often
    open_page(page, dashboard.link)
    expect(page.locator("#newest tbody tr")).to_have_count(1)
    shown.events = [ShownEvent(str(each), "late", "1", "2025-11-26T12:00:00.000Z", "{}") for each in range(3)]
    expect(page.locator("#newest tbody tr")).to_have_count(3)


# ---- for everyone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_cut_off_without_a_sign(browser: Browser, dashboard: Served, shown: Figures, width: int) -> None:
    shown.activity = figures([event(each, kind=f"a type with number {each}") for each in range(12)]).activity
    with watched(browser, viewport={"width": width, "height": 844}) as page:
        open_page(page, dashboard.link)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        expect(page.locator("#rates-chart .main-svg").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        for box in page.locator(".scroll").all():
            wider = box.evaluate("each => each.scrollWidth > each.clientWidth + 1")
            hint = box.locator("xpath=preceding-sibling::p[1]")
            expect(hint).to_be_visible() if wider else expect(hint).to_be_hidden()
        rates = page.locator(".scroll:has(#rates-table)")
        assert rates.evaluate("each => each.scrollWidth > each.clientWidth + 1")  # twelve types have no room
        backlog = page.locator(".scroll:has(#backlog)")
        assert backlog.evaluate("each => each.scrollWidth <= each.clientWidth + 1")


def _live(page: Page, dashboard: Served, shown: Figures) -> None:  # noqa: ARG001  all have the same parameters
    open_page(page, dashboard.link)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    expect(page.locator("#newest tbody tr")).to_have_count(1)


def _loading(page: Page, dashboard: Served, shown: Figures) -> None:  # noqa: ARG001
    page.route("**/live", lambda _: None)
    page.goto(dashboard.link)
    expect(page.locator("#loading")).to_be_visible()


def _empty(page: Page, dashboard: Served, shown: Figures) -> None:
    nothing = figures([])
    shown.activity, shown.health, shown.events, shown.stored = nothing.activity, nothing.health, [], 0
    open_page(page, dashboard.link)
    expect(page.locator("#empty")).to_be_visible()


def _stale(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    shown.mongo_is_away = shown.kafka_is_away = True
    expect(page.locator("#banners p")).to_have_count(2)


def _lost(page: Page, dashboard: Served, shown: Figures) -> None:  # noqa: ARG001
    open_page(page, dashboard.link)
    dashboard.loop.call_soon_threadsafe(dashboard.hub.close)
    expect(page.locator("#connection")).to_have_text("not connected")


def _session_lost(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    page.context.clear_cookies()
    _ = shown
    dashboard.loop.call_soon_threadsafe(dashboard.hub.close)
    expect(page.get_by_role("link", name="Enter the token")).to_be_visible()


def _form(page: Page, dashboard: Served, shown: Figures) -> None:  # noqa: ARG001
    page.goto(dashboard.url)
    expect(page.get_by_label("Token")).to_be_focused()


def _wrong_token(page: Page, dashboard: Served, shown: Figures) -> None:  # noqa: ARG001
    page.goto(link(dashboard.url, "wrong"))
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")


STATES = (_live, _loading, _empty, _stale, _lost, _session_lost, _form, _wrong_token)
# The colours of all others are among those of these.
IN_BOTH_THEMES = (_live, _stale)
CASES = [
    pytest.param(scheme, reach, marks=[] if scheme == "light" or reach in IN_BOTH_THEMES else pytest.mark.slow)
    for scheme in ("light", "dark")
    for reach in STATES
]


@pytest.mark.parametrize(
    ("scheme", "reach"), CASES, ids=lambda each: each if isinstance(each, str) else each.__name__.strip("_")
)
def test_axe_finds_no_serious_fault(
    browser: Browser,
    dashboard: Served,
    shown: Figures,
    scheme: str,
    reach: Callable[[Page, Served, Figures], None],
) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script that the policy forbids
    try:
        page = context.new_page()
        reach(page, dashboard, shown)
        assert serious_faults(page) == []
    finally:
        context.close()


CONTROLS = "a[href], button, input, select, summary, [tabindex='0']"


def test_the_keyboard_reaches_every_control_in_order_and_shows_where_it_is(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    expect(page.locator("#newest tbody tr")).to_have_count(1)
    number = page.evaluate(
        f"""() => {{ window.controls = [...document.querySelectorAll("{CONTROLS}")]
            .filter(each => each.checkVisibility() && (each.type !== 'radio' || each.checked));
            return controls.length; }}"""
    )
    reached = []
    for _ in range(number):
        page.keyboard.press("Tab")
        at, outline, name = page.evaluate(
            """() => { const each = document.activeElement;
                 const marked = each.type === 'radio' ? each.closest('label') : each;
                 const name = each.matches('.scroll') ? each.role === 'region' && each.ariaLabel
                   : each.textContent.trim() || each.labels?.length || each.ariaLabel;
                 return [controls.indexOf(each), getComputedStyle(marked).outlineStyle, name]; }"""
        )
        reached.append(at)
        assert outline == "solid", at
        assert name, at
    assert reached == list(range(number))  # none of them is within a chart


def test_the_first_control_leads_past_the_header(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_screen_reader_hears_nothing_while_nothing_is_wrong(page: Page, dashboard: Served, shown: Figures) -> None:
    open_page(page, dashboard.link)
    expect(page.locator("#newest tbody tr")).to_have_count(1)
    page.evaluate(
        """() => { window.said = [];
          for (const each of document.querySelectorAll('[role=status], [role=alert], [aria-live]'))
            new MutationObserver(() => said.push(each.textContent))
              .observe(each, { childList: true, characterData: true, subtree: true }); }"""
    )
    for number in range(2, 5):  # figures and lists change all the time
        shown.stored = number
        shown.events = [ShownEvent(str(each), "a", "1", "2025-11-26T12:00:00.000Z", "{}") for each in range(number)]
        expect(page.locator("#newest tbody tr")).to_have_count(number)
    assert page.evaluate("said") == []
    shown.mongo_is_away = True
    expect(page.locator("#banners")).to_contain_text(STALE)
    page.wait_for_timeout(1_000)
    assert len(page.evaluate("said")) == 1


def test_a_screen_reader_hears_what_a_filter_found(page: Page, dashboard: Served) -> None:
    open_page(page, dashboard.link)
    page.get_by_role("textbox", name="Type").fill("page_view")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#events-said")).to_contain_text("1 event that fit")


@pytest.mark.parametrize(("chart", "rows"), [("rates", 59), ("latency", 10)])
def test_each_chart_has_its_figures_as_words_and_as_a_table(
    page: Page, dashboard: Served, chart: str, rows: int
) -> None:
    open_page(page, dashboard.link)
    image = page.locator(f"#{chart}-chart")
    assert image.get_attribute("role") == "img"
    described = page.locator(f"#{image.get_attribute('aria-describedby')}")
    assert page.locator(f"#{image.get_attribute('aria-labelledby')}").inner_text()
    expect(described).to_contain_text("page_view" if chart == "rates" else "median")
    page.locator(f"details:has(#{chart}-table) summary").click()
    expect(page.locator(f"#{chart}-table tbody tr").nth(rows - 1)).to_be_visible()
    drawn = page.evaluate(f"document.getElementById('{chart}-chart').data[0].y.filter(Boolean)")
    cells = page.locator(f"#{chart}-table td:nth-child(2)").all_inner_texts()
    assert [float(each.split(" ")[0]) for each in cells if each != "0"][::-1] == pytest.approx(drawn, rel=0.01)
