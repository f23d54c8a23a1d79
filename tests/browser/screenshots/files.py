"""Pictures of reports, which are files, and those that README and docs show."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.browser.screenshots.album import Album
from tests.browser.screenshots.stage import ROOT

_REFERENCE = ROOT / "reports" / "reference"
_PAGES = {
    "report-newest": ROOT / "reports" / "latest.html",
    "report-reference": _REFERENCE / "quick-on-2-cores" / "report.html",
    "comparison": _REFERENCE / "same-against-same" / "compare.html",
}
# For the documents: which picture, and how much of it from its top, in pixels.
_SHOWN = {"dashboard": ("dashboard-live-light-desk", 1080), "shop": ("demo-list-light-desk", 900)}
_WIDTH_PX = 1080


def reports(album: Album) -> None:
    """The newest report, if one was written here, the reference run's, and a comparison."""
    for name, path in _PAGES.items():
        if path.is_file():
            for look, page in album.visits(path.as_uri()):
                album.take(page, name, look)


def for_the_documents(folder: Path) -> None:
    """Cut the pictures for docs/ out of those in ``folder``: few colours, so that a clone stays small."""
    target = folder / "docs"
    target.mkdir(exist_ok=True)
    for name, (picture, height_px) in _SHOWN.items():
        with Image.open(folder / f"{picture}.png") as whole:
            cut = whole.convert("RGB").crop((0, 0, whole.width, min(whole.height, height_px)))
            cut = cut.resize((_WIDTH_PX, round(cut.height * _WIDTH_PX / cut.width)), Image.Resampling.LANCZOS)
            cut.quantize(128, dither=Image.Dither.NONE).save(target / f"{name}.png", optimize=True)
