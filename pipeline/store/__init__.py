"""Where events are kept: one small seam, two drivers behind it.

``open_store`` gives a :class:`Store`; everything above it knows neither Motor nor PyMongo.
"""

from __future__ import annotations

from pipeline.settings import Mongo
from pipeline.store.drivers import MotorStore, PymongoStore
from pipeline.store.errors import CommandFailedError, StoreAwayError, TooLargeError, UnencodableError
from pipeline.store.seam import Cause, Document, InsertReply, Store, WriteError

__all__ = [
    "Cause",
    "CommandFailedError",
    "Document",
    "InsertReply",
    "Store",
    "StoreAwayError",
    "TooLargeError",
    "UnencodableError",
    "WriteError",
    "open_store",
]


def open_store(mongo: Mongo, connections: int) -> Store:
    """Give the store that ``mongo.driver`` names, with up to ``connections`` connections.

    Connects on first use, not here; must be called on the running event loop.

    Raises:
        SettingError: the URI or the write concern cannot be used.
    """
    driver = MotorStore if mongo.driver == "motor" else PymongoStore
    return driver(mongo, connections)
