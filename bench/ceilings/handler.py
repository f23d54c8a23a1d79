"""Sanic with handlers that do nothing: what HTTP costs before anything of ours happens.

    python -m bench.ceilings.handler

It listens on a free port of the loopback address, says which, and answers until it is asked to end (SIGTERM). A single
event is not even looked at; a batch is decoded and dropped.
"""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import msgspec
from msgspec import Struct
from sanic import HTTPResponse, Request, Sanic

from bench.load import stubserver
from pipeline import sanicserver
from pipeline.ingest.answers import JSON, OK_BODY
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess
from pipeline.messages.events import Event
from pipeline.sanicserver import App
from traffic.payload import BATCH_PATH, SINGLE_PATH

_GC_THRESHOLD = 50_000  # the API's


class ParsedBatch(Struct):
    """The body of a request with several events."""

    events: list[Event]


_decode = msgspec.json.Decoder(ParsedBatch).decode


def null_handler(logs: Path) -> ChildProcess:
    """Return the null handler, not started yet; :func:`bench.load.stubserver.url_of` returns its address."""
    return stubserver.process("null-handler", "bench.ceilings.handler", logs)


def application() -> App:
    """Return the application: both routes of the API, and nothing behind them."""
    app: App = Sanic("tidemark_ceiling", config=sanicserver.quiet_config(), configure_logging=False)

    async def single(_: Request) -> HTTPResponse:
        return HTTPResponse(OK_BODY, 200, content_type=JSON)

    async def batch(request: Request) -> HTTPResponse:
        accepted = len(_decode(request.body).events)
        return HTTPResponse(b'{"status":"ok","accepted":%d,"rejected":[]}' % accepted, 200, content_type=JSON)

    app.add_route(single, SINGLE_PATH, methods=["POST"], name="single")
    app.add_route(batch, BATCH_PATH, methods=["POST"], name="batch")
    return app


async def _serve() -> None:
    listener = socket.create_server((HOST, 0), backlog=stubserver.BACKLOG)
    listener.setblocking(False)
    server = await sanicserver.prepare(application(), listener, stubserver.BACKLOG)
    await server.start_serving()  # type: ignore[no-untyped-call]
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    await stubserver.answer_until_stopped(listener.getsockname()[1])


if __name__ == "__main__":
    stubserver.run(_serve)
