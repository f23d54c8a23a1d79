"""Sanic on a socket that the process opened itself, in an event loop that is not Sanic's."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.config import Config
from sanic.http.constants import HTTP
from sanic.server import AsyncioServer, HttpProtocol

App = Sanic[Config, SimpleNamespace]


def quiet_config() -> Config:
    """Return a configuration that prints no banner and no line for each request; the environment does not change it."""
    config = Config(env_prefix=None)
    config.MOTD = False
    config.ACCESS_LOG = False
    return config


async def prepare(
    app: App, listener: socket.socket, backlog: int, protocol: type[HttpProtocol] = HttpProtocol
) -> AsyncioServer:
    """Return the server of ``app`` on ``listener``, started, but not serving: ``start_serving`` comes next.

    ``backlog``: Sanic listens on the socket once more, and its default is 100. ``protocol``: the class of a connection.
    """
    # Sanic looks here for the protocols that it should offer to switch to: there is one, and no header is needed.
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))
    os.environ["SANIC_IGNORE_PRODUCTION_WARNING"] = "1"  # only this keeps it from printing a hint on a terminal
    server = await app.create_server(
        sock=listener,
        backlog=backlog,
        return_asyncio_server=True,
        protocol=protocol,
        asyncio_server_kwargs={"start_serving": False},
    )
    if server is None:
        raise RuntimeError("Sanic returned no server")
    await server.startup()  # type: ignore[no-untyped-call]
    return server
