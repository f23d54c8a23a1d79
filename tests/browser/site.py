"""A web site that uses the tracker: pages of another origin than the API's, under a strict Content-Security-Policy."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,">
{script}
{more}
<a href="/elsewhere">Elsewhere</a>
</html>
"""
QUICK = {"interval": 50, "page-views": "false"}
"""A tracker that sends soon, and tracks only what a test asks it to."""

HELD = {**QUICK, "interval": 600_000}
"""One that sends nothing before it is asked to."""


class Site:
    """Answers every path with the same page, which loads the tracker with the attributes of :meth:`use`."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url
        self._page = ""
        self._policy = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def use(self, attributes: Mapping[str, object], policy: str = "", more: str = "") -> None:
        """Have all pages load the tracker with these ``data-`` attributes.

        ``policy`` is added to the strict one, ``more`` to the page.
        """
        written = "".join(f' data-{name}="{value}"' for name, value in attributes.items())
        script = f'<script src="{self._api_url}/tracker.js"{written}></script>'
        self._page = _PAGE.format(script=script, more=more)
        own = f"default-src 'none'; img-src data:; script-src {self._api_url}; connect-src {self._api_url}"
        self._policy = f"{own}; require-trusted-types-for 'script'; {policy}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = site._page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", site._policy)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
