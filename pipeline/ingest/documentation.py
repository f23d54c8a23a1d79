"""The pages under ``/docs``: the description of the API and a reader for it, without the internet."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from sanic import HTTPResponse, Request
from swagger_ui_bundle import swagger_ui_path

from pipeline.ingest import openapi
from pipeline.ingest.answers import JSON
from pipeline.sanicserver import App
from pipeline.settings import Api

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidemark ingest API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<style>
/* The reader's own style is light, made for wide windows, and has white letters on pale green. */
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1d7a4f; }
.swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1763b0; }
.swagger-ui .opblock.opblock-head .opblock-summary-method { background: #7a0fd6; }
@media (prefers-color-scheme: dark) {
  html { background: #14181c; }
  body { filter: invert(0.92) hue-rotate(180deg); }
}
@media (max-width: 40rem) {
  .swagger-ui .opblock .opblock-summary-control { flex-wrap: wrap; }
  .swagger-ui .opblock .opblock-summary-path { flex: 1; max-width: none; word-break: normal; }
  .swagger-ui .opblock .opblock-summary-description { order: 1; flex: 1 0 100%; padding: 6px 10px 2px; }
}
</style>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = b'SwaggerUIBundle({ url: "/docs/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });\n'
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_DAY = "max-age=86400"
_PIECE_BYTES = 32 * 1024  # of a file; a client that does not read costs twice that in memory
READ = ("GET", "HEAD")
"""The methods of routes that only read."""


def add(app: App, api: Api) -> None:
    """Add ``/docs``, ``/docs/openapi.json`` and the files that the page needs."""
    html = "text/html; charset=utf-8"
    javascript = "text/javascript; charset=utf-8"
    _serve(app, "/docs", "docs", _PAGE, html, {"content-security-policy": _POLICY})
    _serve(app, "/docs/openapi.json", "openapi", openapi.document(api), JSON, {})
    _serve(app, "/docs/start.js", "docs_start", _START, javascript, {})
    _serve(app, "/docs/swagger-ui.css", "docs_css", _vendored("swagger-ui.css"), "text/css", {"cache-control": _DAY})
    script = _vendored("swagger-ui-bundle.js")
    _serve(app, "/docs/swagger-ui-bundle.js", "docs_js", script, javascript, {"cache-control": _DAY})


def _serve(app: App, path: str, name: str, body: bytes, content_type: str, headers: dict[str, str]) -> None:
    async def page(_: Request) -> HTTPResponse:
        return HTTPResponse(body, 200, dict(headers), content_type)

    turn = asyncio.Lock()  # if a thousand clients ask for it at once, the loop sends one piece at a time

    async def file(request: Request) -> HTTPResponse | None:
        sized = {**headers, "content-length": str(len(body))}
        if request.method == "HEAD":
            return HTTPResponse(b"", 200, sized, content_type)
        stream: Any = request.stream  # Sanic's annotation of it does not fit what it is
        connection = stream.protocol.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE_BYTES)  # else the kernel keeps all of it
        answer = await request.respond(status=200, headers=sized, content_type=content_type)
        for at in range(0, len(body), _PIECE_BYTES):
            await stream.protocol._can_write.wait()  # noqa: SLF001 - nothing public says so
            async with turn:
                await answer.send(body[at : at + _PIECE_BYTES])
        return None

    app.add_route(page if len(body) <= _PIECE_BYTES else file, path, methods=READ, name=name, stream=True)


def _vendored(name: str) -> bytes:
    content: bytes = (swagger_ui_path / name).read_bytes()
    return content
