"""The Sanic application: its limits, its routes, and one form for every error."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import RequestCancelled, SanicException
from sanic.handlers import ErrorHandler

from pipeline.errors import UnavailableError
from pipeline.ingest import answers, documentation, routes
from pipeline.ingest.answers import RefusedError
from pipeline.ingest.routes import IngestDependencies
from pipeline.metrics import CONTENT_TYPE
from pipeline.sanicserver import App, quiet_config
from pipeline.settings import Api
from pipeline.web import tracker

if TYPE_CHECKING:
    from pipeline.web.stored import StoredEvents

_SPARE_S = 5.0
_log = logging.getLogger(__name__)


def build(dependencies: IngestDependencies, stored: StoredEvents | None) -> App:
    """Return the application with all routes of the API; those of the demonstration shop only with ``stored``.

    Each route is a stream: its handler reads the body itself, within bounds of size and time, or not at all.
    """
    api = dependencies.settings.api
    errors = _JsonErrors(dependencies)
    app: App = Sanic("tidemark_api", config=_config(api), error_handler=errors, configure_logging=False)
    app.ctx.pipelined = asyncio.Lock()  # one pipelined request a turn of the event loop, so that the others run too
    for path, handler in (("/track", routes.track(dependencies)), ("/track/batch", routes.track_batch(dependencies))):
        name = path.strip("/").replace("/", "_")
        app.add_route(handler, path, methods=["POST"], name=name, stream=True)
        app.add_route(_preflight(dependencies), path, methods=["OPTIONS"], name=f"{name}_preflight", stream=True)
    _add_health(app, dependencies)
    documentation.add(app, api)
    tracker.add(app)
    if stored is not None:
        from pipeline.web import demo  # noqa: PLC0415  with MongoDB's driver, which nothing else here needs

        demo.add(app, stored)
    return app


def _config(api: Api) -> Config:
    config = quiet_config()
    config.REQUEST_MAX_SIZE = api.max_body_bytes
    config.REQUEST_TIMEOUT = api.request_timeout_s  # type: ignore[assignment]  # any number of seconds will do
    # The last resort: the handlers' own bounds are tighter.
    longest_s = 2 * api.request_timeout_s + api.room_timeout_s + api.publish_timeout_s + _SPARE_S
    config.RESPONSE_TIMEOUT = longest_s  # type: ignore[assignment]
    return config


def _add_health(app: App, dependencies: IngestDependencies) -> None:
    async def live(_: Request) -> HTTPResponse:
        return HTTPResponse(answers.OK_BODY, 200, content_type=answers.JSON)

    async def ready(_: Request) -> HTTPResponse:
        try:
            await dependencies.publisher.check()
        except UnavailableError as error:
            return answers.refused(RefusedError(503, "unavailable", str(error), retry_after_s=error.retry_after_s))
        return HTTPResponse(answers.OK_BODY, 200, content_type=answers.JSON)

    async def metrics(_: Request) -> HTTPResponse:
        dependencies.metrics.observe(dependencies.admission, dependencies.publisher)
        return HTTPResponse(dependencies.metrics.text(), 200, content_type=CONTENT_TYPE)

    for name, path, handler in (("live", "/health/live", live), ("ready", "/health/ready", ready)):
        app.add_route(handler, path, methods=documentation.READ, name=name, stream=True)
    app.add_route(metrics, "/metrics", methods=documentation.READ, name="metrics", stream=True)


def _preflight(dependencies: IngestDependencies) -> routes.Handler:
    async def preflight(request: Request) -> HTTPResponse:
        return dependencies.access.preflight(request)

    return preflight


class _JsonErrors(ErrorHandler):
    """Sanic's own errors, and ours that nobody foresaw, in the form of every other refusal."""

    def __init__(self, dependencies: IngestDependencies) -> None:
        super().__init__()
        self._access = dependencies.access

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Answer ``exception``; what is not HTTP's own is logged and says nothing of our inside."""
        if isinstance(exception, RequestCancelled):
            return answers.refused(RefusedError(HTTPStatus.BAD_REQUEST, "cancelled", "you have gone"))  # to nobody
        status = exception.status_code if isinstance(exception, SanicException) else HTTPStatus.INTERNAL_SERVER_ERROR
        if isinstance(exception, SanicException) and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            code = HTTPStatus(status).name.lower()  # not_found, method_not_allowed, request_timeout and the like
            response = answers.refused(RefusedError(status, code, str(exception)))
            response.headers.update(exception.headers)
        elif status == HTTPStatus.SERVICE_UNAVAILABLE:
            response = answers.refused(RefusedError(status, "unavailable", str(exception), retry_after_s=1))
        else:
            _log.error("%s %s failed", request.method, request.path, exc_info=exception)
            response = answers.refused(RefusedError(500, "internal_error", "this should not have happened"))
        return self._access.allow(request, response)
