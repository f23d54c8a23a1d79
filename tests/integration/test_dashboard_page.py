"""The dashboard as a person sees it in a browser: every state, both widths, hostile events, the keyboard."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.dashboard.hub import Hub
from pipeline.dashboard.view import Event
from tests.integration import chromium
from tests.unit.dashboard_records import event
from tests.unit.dashboard_server import TOKEN, Figures, figures, serving

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# Whatever the page's policy stopped, and whatever failed, since the page began.
WATCH = """
window.faults = [];
addEventListener('securitypolicyviolation', each =>
  faults.push(`${each.violatedDirective} ${each.blockedURI} ${each.sourceFile}:${each.lineNumber}`));
addEventListener('error', each => faults.push(String(each.message)));
addEventListener('unhandledrejection', each => faults.push(String(each.reason)));
"""
SHOWN = "document.querySelectorAll('#key > div').length > 0"


@pytest.fixture(scope="module", autouse=True)
def _chromium_is_there() -> None:
    if not chromium.BINARY:
        assert not os.environ.get("CI"), "Chromium is not installed, and in CI it has to be"
        pytest.skip("Chromium is not installed: apt-get install chromium")


@pytest.fixture
def shown() -> Figures:
    return figures([event(each, str(each % 3), url=f"/page/{each % 2}", ref="google") for each in range(30)])


@pytest.fixture
async def server(shown: Figures) -> AsyncIterator[tuple[str, Hub]]:
    async with serving(shown) as found:
        yield found


@pytest.fixture
async def browse(server: tuple[str, Hub]) -> Callable[..., Any]:
    """Run what drives a browser in a thread, while the server runs in this one's loop."""

    async def run(script: Callable[[chromium.Browser, str], Any], *, scheme: str = "light") -> Any:
        def drive() -> Any:
            with chromium.Browser() as page:
                page._do("Page.enable")
                page._do("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
                page._do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
                page.size(1440, 900)
                found = script(page, f"{server[0]}/?token={quote(TOKEN, safe='')}")
                assert page.value("window.faults") == []
                return found

        return await asyncio.to_thread(drive)

    return run


async def test_figures_charts_and_lists_are_shown(browse: Callable[..., Any]) -> None:
    def script(page: chromium.Browser, url: str) -> tuple[str, int]:
        page.open(url)
        page.wait_for(SHOWN)
        page.wait_for("document.querySelectorAll('.main-svg').length >= 2")
        page.wait_for("document.querySelector('#newest tbody tr') !== null")
        assert page.value("location.search") == ""
        return page.text(), page.value("document.querySelectorAll('#rates-chart .scatterlayer path.js-line').length")

    text, lines = await browse(script)
    assert lines == 1
    for words in ("/page/0", "google", "page view with /signup", "tidemark-worker 1a2b3c4d", '{"url": "/home"}'):
        assert words in text, words


async def test_what_an_event_contains_is_text_and_nothing_else(browse: Callable[..., Any], shown: Figures) -> None:
    hostile = figures([event(each, HOSTILE, kind=HOSTILE, url=HOSTILE, ref=HOSTILE) for each in range(30)])
    shown.activity = hostile.activity
    shown.events = [Event(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]

    def script(page: chromium.Browser, url: str) -> str:
        page.open(url)
        page.wait_for(SHOWN)
        page.wait_for("document.querySelector('#newest tbody tr') !== null")
        page.value("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.wait_for("document.querySelector('#rates-chart .legendtext') !== null")
        assert page.value("document.querySelectorAll('main img, main script').length") == 0
        assert page.value("document.title") == "Tidemark dashboard"
        return page.text()

    assert (await browse(script)).count(HOSTILE) >= 4


async def test_with_no_event_yet_the_page_says_so(browse: Callable[..., Any], shown: Figures) -> None:
    nothing = figures([])
    shown.activity, shown.health, shown.events, shown.stored = nothing.activity, nothing.health, [], 0

    def script(page: chromium.Browser, url: str) -> str:
        page.open(url)
        page.wait_for(SHOWN)
        page.wait_for("document.getElementById('events-words').textContent !== ''")
        assert page.value("document.getElementById('rates-chart').checkVisibility()") is False
        return page.text()

    text = await browse(script)
    for words in ("No event yet.", "No event in this span.", "No event with a page", "No sample in the last"):
        assert words in text, words


async def test_with_mongodb_away_the_page_says_since_when_and_how_old_its_figures_are(
    browse: Callable[..., Any], shown: Figures
) -> None:
    def script(page: chromium.Browser, url: str) -> tuple[str, str]:
        page.open(url)
        page.wait_for(SHOWN)
        before = page.value("document.getElementById('key').innerText")
        shown.mongo_is_away = True
        page.wait_for("document.querySelector('#banners p') !== null")
        away = page.value("document.getElementById('banners').innerText")
        assert page.value("document.getElementById('key').innerText") == before
        shown.mongo_is_away = False
        page.wait_for("document.querySelector('#banners p') === null")
        return away, page.value("document.getElementById('banners').getAttribute('role')")

    away, role = await browse(script)
    assert "MongoDB at db:27017 does not answer since" in away
    assert "Its figures are from" in away
    assert role == "status"


async def test_when_the_dashboard_ends_the_page_says_so_and_keeps_its_figures(
    browse: Callable[..., Any], server: tuple[str, Hub]
) -> None:
    loop = asyncio.get_running_loop()

    def script(page: chromium.Browser, url: str) -> str:
        page.open(url)
        page.wait_for(SHOWN)
        loop.call_soon_threadsafe(server[1].close)  # what is open ends, and nothing new is let in
        page.wait_for("document.getElementById('connection').textContent === 'not connected'")
        assert page.value(SHOWN)
        return page.value("document.getElementById('banners').innerText")

    assert "These figures are from" in await browse(script)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_cut_off_and_texts_stand_out(browse: Callable[..., Any], width: int, scheme: str) -> None:
    def script(page: chromium.Browser, url: str) -> tuple[int, float]:
        page.size(width, 844)
        page.open(url)
        page.wait_for(SHOWN)
        page.wait_for("document.querySelector('#rates-chart .main-svg') !== null")
        return page.value("document.documentElement.scrollWidth - innerWidth"), page.value(CONTRAST)

    cut_off, contrast = await browse(script, scheme=scheme)
    assert cut_off <= 0
    assert contrast >= 4.5  # WCAG 2.2, AA


# The least contrast of any text with what is behind it; the colours are plain ones.
CONTRAST = """
(() => {
  const parts = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const found = parts(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const each of document.querySelectorAll('body *:not(svg *)')) {
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !each.checkVisibility() || each.closest('.visually-hidden, script, option')) continue;
    const [one, other] = [light(parts(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
    least = Math.min(least, (one + 0.05) / (other + 0.05));
  }
  return least;
})()
"""


async def test_the_keyboard_reaches_every_control_and_each_has_a_name(browse: Callable[..., Any]) -> None:
    def script(page: chromium.Browser, url: str) -> tuple[list[str], list[str]]:
        page.open(url)
        page.wait_for(SHOWN)
        every = "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
        controls = f"{every}.filter(each => each.checkVisibility())"
        expected = page.value(f"new Set({controls}.filter(each => each.type !== 'radio' || each.checked)).size")
        seen = set()
        for _ in range(3 * expected):
            for kind in ("keyDown", "keyUp"):
                page._do("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            place = f"{controls}.indexOf(document.activeElement)"
            seen.add(page.value(place))
        missed = page.value(
            f"{controls}.filter(each => each.type !== 'radio' || each.checked)"
            f".filter(each => !{sorted(seen)}.includes({controls}.indexOf(each)))"
            ".map(each => each.outerHTML.slice(0, 80))"
        )
        nameless = page.value(
            f"{controls}.filter(each => !(each.textContent.trim() || each.labels?.length || "
            "each.getAttribute('aria-label'))).map(each => each.outerHTML.slice(0, 80))"
        )
        return missed, nameless

    assert await browse(script) == ([], [])


async def test_the_theme_can_be_chosen_and_stays(browse: Callable[..., Any]) -> None:
    def script(page: chromium.Browser, url: str) -> list[str]:
        page.open(url)
        page.wait_for(SHOWN)
        background = "getComputedStyle(document.body).backgroundColor"
        found = [page.value(background)]
        page.value("theme.value = 'dark'; theme.dispatchEvent(new Event('change'))")
        found.append(page.value(background))
        page.open(url)
        page.wait_for(SHOWN)
        found.append(page.value(background))
        return found

    light, dark, again = await browse(script)
    assert light != dark == again


async def test_a_filter_is_sent_and_a_pause_keeps_the_list(browse: Callable[..., Any], shown: Figures) -> None:
    def script(page: chromium.Browser, url: str) -> None:
        page.open(url)
        page.wait_for(SHOWN)
        page.fill("type", "sign&up")
        page.press("Filter")
        page.wait_for("document.getElementById('events-words').textContent.includes('that fit')")
        page.press("Pause")
        assert page.value("pause.getAttribute('aria-pressed')") == "true"

    await browse(script)
    assert "sign&up" in [each.event_type for each in shown.asked]
    await asyncio.sleep(0.5)
    asked = len(shown.asked)
    await asyncio.sleep(1)
    assert len(shown.asked) == asked
