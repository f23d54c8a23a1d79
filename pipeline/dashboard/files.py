"""The page's files: our own from this package, the charts' library from its own, ready to be sent."""

from __future__ import annotations

import gzip
import hashlib
import re
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from pipeline.errors import MissingPartError

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_COMPRESS_FROM_BYTES = 1024


class EncodedFile(Struct, frozen=True):
    """A file in the forms in which it is sent; ``etag`` with its quotes."""

    body: bytes
    gzipped: bytes
    content_type: str
    etag: str


def page_files() -> dict[str, EncodedFile]:
    """Read all files, by name.

    Raises:
        MissingPartError: the charts' library is not installed.
    """
    files = {path.name: _file(path.read_bytes(), path.suffix) for path in _STATIC.iterdir() if path.suffix in _TYPES}
    plotly = _plotly()
    files["plotly.min.js"] = _file(plotly, ".js")
    page = files["index.html"].body.decode().replace("<!-- placeholders -->", _placeholders(plotly))
    files["index.html"] = _file(page.encode(), ".html")
    return files


def _plotly() -> bytes:
    # Found, not imported: only its JavaScript is used, and installed.
    spec = find_spec("plotly")
    path = Path(*(spec.submodule_search_locations or ())) / "package_data" / "plotly.min.js" if spec else None
    if path is None or not path.is_file():
        message = "the package plotly, which holds the charts' library, is missing: install it (pip install plotly)"
        raise MissingPartError(message)
    return path.read_bytes()


def _placeholders(script: bytes) -> str:
    """Return elements with the ids under which the library looks for style sheets of maps that it would add.

    The page has no maps, and its policy allows no styles inside it: the library would try in vain, and the browser
    would note an error each time.
    """
    ids = re.findall(rb"if\(!document\.getElementById\(\"([0-9a-f]{64})\"\)\)", script)
    return "".join(f'<span id="{each.decode()}" hidden></span>' for each in dict.fromkeys(ids))


def _file(body: bytes, suffix: str) -> EncodedFile:
    kind = _TYPES[suffix]
    gzipped = gzip.compress(body, 6, mtime=0) if len(body) >= _COMPRESS_FROM_BYTES else b""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return EncodedFile(body, gzipped, f"{kind}; charset=utf-8", etag)
