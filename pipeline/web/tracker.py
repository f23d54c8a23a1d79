"""``/tracker.js``, the library for web pages, and its types."""

from __future__ import annotations

from pipeline.sanicserver import App
from pipeline.web import files
from pipeline.web.files import File

# Pages of any origin may load it, also with `integrity` or under Cross-Origin-Embedder-Policy. A correction reaches
# them within ten minutes; for a day after that a browser may use what it has while it asks for the new one.
_HEADERS = {
    "cache-control": "public, max-age=600, stale-while-revalidate=86400",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}


def script() -> File:
    """The library as it is served."""
    return files.read_script("tracker.js", tight=True)


def add(app: App) -> None:
    """Add the routes ``/tracker.js`` and ``/tracker.d.ts``."""
    files.serve(app, "/tracker.js", "tracker_js", script(), _HEADERS)
    types = files.read("tracker.d.ts", "text/plain; charset=utf-8")
    files.serve(app, "/tracker.d.ts", "tracker_types", types, _HEADERS)
