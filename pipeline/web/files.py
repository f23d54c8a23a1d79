"""Files that browsers load: read once, compressed once, and answered with an entity tag."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from sanic import HTTPResponse, Request

from pipeline.sanicserver import App

Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]

READ = ("GET", "HEAD")
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
CSS = "text/css; charset=utf-8"
SVG = "image/svg+xml"

_FOLDER = Path(__file__).resolve().parent
_NO_SNIFFING = {"x-content-type-options": "nosniff"}


class File(Struct, frozen=True):
    """One file as it is answered, plain and compressed; each form has an entity tag of its own."""

    content_type: str
    plain: bytes
    compressed: bytes
    tag: str

    def entity_tag(self, *, compressed: bool) -> str:
        """The value of the header ETag."""
        return f'"{self.tag}-gzip"' if compressed else f'"{self.tag}"'


def read(name: str, content_type: str) -> File:
    """Read a file of this package; ``name`` is its path within it."""
    return make((_FOLDER / name).read_bytes(), content_type)


def read_script(name: str, *, tight: bool = False) -> File:
    """Read a JavaScript file and leave out its comments, and if ``tight`` :func:`spaces <without_spaces>` too."""
    source = without_comments((_FOLDER / name).read_text(encoding="utf-8"))
    return make((without_spaces(source) if tight else source).encode(), JAVASCRIPT)


def make(body: bytes, content_type: str) -> File:
    """Return ``body`` as a file."""
    compressed = gzip.compress(body, 9, mtime=0)  # no time in it: the same content has the same bytes
    return File(content_type, body, compressed, hashlib.sha256(body).hexdigest()[:20])


def without_comments(source: str) -> str:
    """Leave out indentation, empty lines, and comments that have a line of their own.

    Nothing else changes: the lines that remain are those that a person wrote. It is for our own files, in which no text
    goes over several lines.
    """
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def without_spaces(source: str) -> str:
    """Leave out the spaces, the ends of lines and the semicolons that JavaScript does not need.

    It is for a file of ours that ends each statement with a semicolon, in which no text or pattern has a space beside a
    sign, and no ``+`` or ``-`` stands beside another.
    """
    return re.sub(r"\s*([^\w\s\"'`$]+)\s*", r"\1", source).replace(";}", "}")


def serve(app: App, path: str, name: str, file: File, headers: Mapping[str, str]) -> None:
    """Add a route for ``file``; ``headers`` are part of each answer, ``name`` is Sanic's for the route."""

    async def answer(request: Request) -> HTTPResponse:
        compressed = accepts_gzip(request.headers.getone("accept-encoding", ""))
        tag = file.entity_tag(compressed=compressed)
        own = {**_NO_SNIFFING, **headers, "etag": tag, "vary": "accept-encoding"}
        if is_known(tag, request.headers.getone("if-none-match", "")):
            return HTTPResponse(b"", 304, own)
        if compressed:
            own["content-encoding"] = "gzip"
        return HTTPResponse(file.compressed if compressed else file.plain, 200, own, file.content_type)

    app.add_route(answer, path, methods=READ, name=name, stream=True)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client with this header takes gzip; a weight of 0 refuses it."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() in ("gzip", "*"):
            value = weight.replace(" ", "").removeprefix("q=") or "1"
            return value.strip("0.") != ""
    return False


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether a client that sends this header has the form of the file that ``tag`` names."""
    known = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return tag in known or known == ["*"]
