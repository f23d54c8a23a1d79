"""A browser for each look (theme and size), and the pictures that are taken with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from playwright.sync_api import BrowserContext, Page, Playwright

from tests.integration.chromium import BINARY

Scheme = Literal["light", "dark"]
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
WAIT_MS = 45_000.0
# Chromium paints no picture that is higher than 16,384 pixels.
_HIGHEST_PX = 12_000


class Look(NamedTuple):
    """A theme and a size."""

    scheme: Scheme
    size: str

    def __str__(self) -> str:
        return f"{self.scheme}-{self.size}"


LOOKS = [Look(scheme, size) for scheme in ("light", "dark") for size in SIZES]


class Album:
    """A folder of pictures, and Chromium while it is entered."""

    def __init__(self, playwright: Playwright, folder: Path) -> None:
        self.folder = folder
        self.taken = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._browser = playwright.chromium.launch(executable_path=BINARY, args=["--no-sandbox"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()

    def visitor(self, look: Look) -> BrowserContext:
        """A browser with nothing in its storage."""
        width, height = SIZES[look.size]
        # Where the system asks for less motion, our pages are still.
        made = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=look.scheme,
            reduced_motion="reduce",
            has_touch=look.size == "phone",
            locale="en-GB",
        )
        made.set_default_timeout(WAIT_MS)
        return made

    def visits(self, url: str) -> Iterator[tuple[Look, Page]]:
        """A visitor of each look, on the page at ``url``."""
        for look in LOOKS:
            context = self.visitor(look)
            try:
                page = context.new_page()
                page.goto(url)
                yield look, page
            finally:
                context.close()

    def take(self, page: Page, name: str, look: Look) -> None:
        """Take the whole page, in several pictures if it is very long."""
        page.evaluate("scrollTo(0, 0)")  # a sticky head stands where the page was left
        page.wait_for_timeout(300)  # what comes in is in
        height = int(page.evaluate("document.documentElement.scrollHeight"))
        tops = range(0, height, _HIGHEST_PX)
        for number, top in enumerate(tops, 1):
            part = f"-{number}" if len(tops) > 1 else ""
            clip = {"x": 0, "y": top, "width": SIZES[look.size][0], "height": min(_HIGHEST_PX, height - top)}
            path = self.folder / f"{name}-{look}{part}.png"
            page.screenshot(path=path, full_page=True, **({"clip": clip} if part else {}))
            self.taken += 1
