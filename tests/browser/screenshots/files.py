"""Pictures of reports, which are files, and those that README and docs show."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Page

from pipeline.errors import ProcessFailedError
from pipeline.local.process import ChildProcess
from tests.browser.screenshots.album import LOOKS, Album
from tests.browser.screenshots.stage import ROOT

_REFERENCE = ROOT / "reports" / "reference"
_REPORTS = {
    "report-newest": ROOT / "reports" / "latest.html",
    "report-reference": _REFERENCE / "quick-on-2-cores" / "report.html",
}
_COMPARED = _REFERENCE / "same-against-same"
_COMPARE_S = 120.0
# For the documents: which picture, and how much of it from its top, in pixels.
_SHOWN = {
    "dashboard": ("dashboard-live-light-desk", 1130),
    "shop": ("demo-product-light-desk", 760),
}
_WIDTH_PX = 1080
_FIRST_SEARCH = 1  # of the figures: the one before shows the answers of all
_GAP_PX = 16


def reports(album: Album) -> None:
    """The newest report, if one was written here, and the reference run's."""
    for name, path in _REPORTS.items():
        if path.is_file():
            _take(album, name, path)


def comparison(album: Album, folder: Path) -> None:
    """A comparison of two reference runs, written to ``folder`` as it is written today."""
    page, log = folder / "compare.html", folder / "compare.log"
    runs = [str(_COMPARED / each) for each in ("base", "new")]
    command = [sys.executable, "-m", "bench", "compare", *runs, "--html", str(page)]
    with ChildProcess("bench compare", command, log_path=log, cwd=ROOT).start() as child:
        child.wait(_COMPARE_S)
        if not page.is_file():
            raise ProcessFailedError(f"bench compare wrote no page; {child.last_words()}")
    _take(album, "comparison", page)


def _take(album: Album, name: str, path: Path) -> None:
    for look, page in album.visits(path.resolve().as_uri()):
        album.take(page, name, look)


def for_the_documents(album: Album) -> None:
    """Make the pictures that README and docs show, in docs/ of the album's folder."""
    target = album.folder / "docs"
    target.mkdir(exist_ok=True)
    for name, (picture, height_px) in _SHOWN.items():
        with Image.open(album.folder / f"{picture}.png") as whole:
            cut = whole.convert("RGB").crop((0, 0, whole.width, min(whole.height, height_px)))
            cut = cut.resize((_WIDTH_PX, round(cut.height * _WIDTH_PX / cut.width)), Image.Resampling.LANCZOS)
            _save(cut, target / f"{name}.png")
    _save(_finding_and_figures(album), target / "report.png")


def _finding_and_figures(album: Album) -> Image.Image:
    """The head of the reference run's report, and under it the first two searches."""
    with contextlib.closing(album.visitor(LOOKS[0])) as context:
        page = context.new_page()
        page.set_viewport_size({"width": _WIDTH_PX, "height": 900})
        page.goto(_REPORTS["report-reference"].resolve().as_uri())
        head = page.locator("#finding").bounding_box()
        title = page.locator("#capacity figure figcaption").nth(_FIRST_SEARCH).bounding_box()
        chart = page.locator("#capacity figure svg.drawing").nth(_FIRST_SEARCH).bounding_box()
        if not (head and title and chart):
            raise ProcessFailedError("the reference run's report has no head or no search to show")
        top, bottom = title["y"] - _GAP_PX, chart["y"] + chart["height"]
        pictures = [_strip(page, head["y"], head["height"]), _strip(page, top, bottom - top)]
    whole = Image.new("RGB", (_WIDTH_PX, sum(each.height for each in pictures)))
    for place, each in enumerate(pictures):
        whole.paste(each, (0, sum(before.height for before in pictures[:place])))
    return whole


def _strip(page: Page, y: float, height: float) -> Image.Image:
    clip: FloatRect = {"x": 0, "y": y, "width": _WIDTH_PX, "height": height}
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")


def _save(picture: Image.Image, path: Path) -> None:
    """Save it with few colours, so that a clone stays small."""
    few = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)  # keeps rare hues
    few.save(path, optimize=True)
