"""The dashboard's Sanic application: the page, the stream of snapshots, the newest events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from msgspec import Struct
from pymongo.errors import PyMongoError
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import PayloadTooLarge, RequestCancelled, SanicException
from sanic.handlers import ErrorHandler
from sanic.response import BaseHTTPResponse

from pipeline.dashboard.access import TokenCheck, fields
from pipeline.dashboard.files import EncodedFile
from pipeline.dashboard.hub import HEARTBEAT_S, Hub
from pipeline.dashboard.newest import Filter
from pipeline.dashboard.view import Newest
from pipeline.errors import UnavailableError
from pipeline.sanicserver import App, quiet_config

Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse | None]]

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; "
    # The hash is that of nothing: the charts' library makes an empty <style> and adds its rules by script.
    "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_JSON = "application/json"
_MAX_BODY_BYTES = 4_096
_BODY_S = 10.0
_MOST_CHARACTERS = 200
_SEARCHES_AT_ONCE = 2
_SEARCH_WAIT_S = 5.0
_SEND_S = 15.0
_PIECE_BYTES = 32 * 1024

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class DashboardDependencies(Struct, frozen=True):
    """What the routes need."""

    access: TokenCheck
    hub: Hub
    files: dict[str, EncodedFile]
    newest: Callable[[Filter], Awaitable[Newest]]


def build(dependencies: DashboardDependencies) -> App:
    """Return the application with all routes."""
    config = quiet_config()
    config.REQUEST_MAX_SIZE = _MAX_BODY_BYTES
    config.REQUEST_TIMEOUT = 10
    config.RESPONSE_TIMEOUT = round(3 * HEARTBEAT_S)
    app: App = Sanic("tidemark_dashboard", config=config, error_handler=_Errors(), configure_logging=False)
    app.register_middleware(_add_headers, "response")
    guarded = _Guard(dependencies)
    app.add_route(guarded.page, "/", methods=["GET"], name="page")
    app.add_route(guarded.login(), "/login", methods=["POST"], name="login", stream=True)
    app.add_route(_file(dependencies.files["style.css"]), "/style.css", methods=["GET"], name="style")
    for name in ("dashboard.js", "elements.js", "charts.js", "panels.js", "newest.js", "plotly.min.js"):
        app.add_route(
            guarded(_file(dependencies.files[name])), f"/{name}", methods=["GET"], name=name.replace(".", "_")
        )
    app.add_route(guarded(_live(dependencies.hub)), "/live", methods=["GET"], name="live")
    app.add_route(guarded(_snapshot(dependencies.hub)), "/snapshot", methods=["GET"], name="snapshot")
    app.add_route(guarded(_events(dependencies)), "/events", methods=["GET"], name="events")
    app.add_route(_alive, "/health/live", methods=["GET"], name="alive")
    return app


class _Guard:
    """Lets only those in who have the token."""

    def __init__(self, dependencies: DashboardDependencies) -> None:
        self._access = dependencies.access
        self._page = _file(dependencies.files["index.html"])
        self._login = dependencies.files["login.html"]

    def __call__(self, handler: Handler) -> Handler:
        """Return ``handler`` for those who may look; others get 401."""

        async def guarded(request: Request) -> HTTPResponse | None:
            if self._access.allows(request):
                return await handler(request)
            message = "send the token as Authorization: Bearer TOKEN, or open /?token=TOKEN once in a browser"
            return _refused(401, "unauthorized", message, {"www-authenticate": "Bearer"})

        return guarded

    async def page(self, request: Request) -> HTTPResponse | None:
        """The page, or the form that asks for the token."""
        token = self._access.token_in(request.query_string)
        if token and self._access.is_token(token):
            return self._access.let_in(request)
        if self._access.allows(request) and not token:
            return await self._page(request)
        return self._form(wrong=bool(token))

    def login(self) -> Handler:
        """Take the token from the form."""

        async def login(request: Request) -> HTTPResponse:
            sent = fields((await _body(request)).decode("utf-8", "replace"))
            if self._access.is_token(sent.get("token", "").strip()):
                return self._access.let_in(request)
            return self._form(wrong=True)

        return login

    def _form(self, *, wrong: bool) -> HTTPResponse:
        words = b"That is not the token." if wrong else b""
        body = self._login.body.replace(b"<!-- wrong -->", words)
        return HTTPResponse(body, 401, {"cache-control": "no-store"}, self._login.content_type)


async def _body(request: Request) -> bytes:
    """Read a small body: the connection's own class leaves that to the handler."""
    stream: Any = request.stream  # Sanic's annotation of it does not fit what it is
    body = bytearray()
    async with asyncio.timeout(_BODY_S):
        while stream.request_body and len(body) <= _MAX_BODY_BYTES:
            body += await stream.read() or b""
    if len(body) > _MAX_BODY_BYTES:
        raise PayloadTooLarge(f"send at most {_MAX_BODY_BYTES} bytes")
    return bytes(body)


def _file(file: EncodedFile) -> Handler:
    async def send(request: Request) -> HTTPResponse | None:
        headers = {"etag": file.etag, "cache-control": "private, no-cache", "vary": "accept-encoding"}
        if request.headers.getone("if-none-match", "") == file.etag:
            return HTTPResponse(b"", 304, headers)
        body = file.body
        if file.gzipped and "gzip" in request.headers.getone("accept-encoding", ""):
            body = file.gzipped
            headers["content-encoding"] = "gzip"
        if len(body) <= _PIECE_BYTES:
            return HTTPResponse(body, 200, headers, file.content_type)
        headers["content-length"] = str(len(body))
        answer = await request.respond(status=200, headers={**_HEADERS, **headers}, content_type=file.content_type)
        for at in range(0, len(body), _PIECE_BYTES):
            await _within_time(answer.send(body[at : at + _PIECE_BYTES]))
        return None

    return send


def _live(hub: Hub) -> Handler:
    async def live(request: Request) -> HTTPResponse | None:
        following = hub.follow()
        try:
            first = await anext(following)
            headers = {**_HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
            answer: Any = await request.respond(status=200, headers=headers, content_type="text/event-stream")
            await _within_time(answer.send(b"retry: 3000\n\n" + _message(first)))
            async for snapshot in following:
                await _within_time(answer.send(_message(snapshot)))
            await _within_time(answer.eof())
        except StopAsyncIteration:  # it is ending
            return _refused(503, "unavailable", "the dashboard is ending", {"retry-after": "5"})
        finally:
            await following.aclose()  # type: ignore[attr-defined]  # it is a generator
        return None

    return live


def _message(snapshot: bytes) -> bytes:
    """Return one server-sent event; JSON has no line break, so it is one line. A comment keeps the connection alive."""
    return b"event: snapshot\ndata: " + snapshot + b"\n\n" if snapshot else b": still here\n\n"


async def _within_time(sending: Awaitable[Any]) -> None:
    """Send, unless the client does not read: then Sanic closes its connection."""
    try:
        async with asyncio.timeout(_SEND_S):
            await sending
    except TimeoutError:
        raise RequestCancelled("the client does not read") from None


def _snapshot(hub: Hub) -> Handler:
    async def snapshot(_: Request) -> HTTPResponse:
        return _answer(await hub.snapshot())

    return snapshot


def _events(dependencies: DashboardDependencies) -> Handler:
    turn = asyncio.Semaphore(_SEARCHES_AT_ONCE)

    async def events(request: Request) -> HTTPResponse:
        asked = fields(request.query_string)
        event_type, user_id, url = (asked.get(name, "")[:_MOST_CHARACTERS] for name in ("type", "user", "url"))
        try:
            async with asyncio.timeout(_SEARCH_WAIT_S), turn:
                return _answer(_encode(await dependencies.newest(Filter(event_type, user_id, url))))
        except (PyMongoError, TimeoutError) as error:
            _log.info("the newest events could not be read: %s", str(error)[:500] or type(error).__name__)
            return _refused(503, "unavailable", "MongoDB did not answer in time", {"retry-after": "2"})

    return events


async def _alive(_: Request) -> HTTPResponse:
    return _answer(b'{"status":"ok"}')


async def _add_headers(_: Request, response: BaseHTTPResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _answer(body: bytes) -> HTTPResponse:
    return HTTPResponse(body, 200, {"cache-control": "no-store"}, _JSON)


def _refused(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    body = _encode({"status": "error", "code": code, "error": message[:500]})
    return HTTPResponse(body, status, {"cache-control": "no-store", **(headers or {})}, _JSON)


class _Errors(ErrorHandler):
    """Errors in the form of every other refusal; what is not HTTP's own says nothing of our inside."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Answer ``exception``."""
        if isinstance(exception, RequestCancelled):
            return _refused(400, "cancelled", "you have gone")  # to nobody
        if isinstance(exception, TimeoutError):
            return _refused(408, "request_timeout", "the body did not come in time")
        if isinstance(exception, UnavailableError):
            return _refused(503, "unavailable", str(exception), {"retry-after": str(exception.retry_after_s)})
        status = exception.status_code if isinstance(exception, SanicException) else 500
        if status < 500:  # noqa: PLR2004  HTTP's own
            return _refused(status, "refused", str(exception))
        _log.error("%s %s failed", request.method, request.path, exc_info=exception)
        return _refused(500, "internal_error", "the dashboard failed; its log says why")
