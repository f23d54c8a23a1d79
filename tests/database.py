"""What tests do with MongoDB as a whole."""

from __future__ import annotations

from pipeline import provision
from pipeline.settings import Mongo


async def drop(mongo: Mongo) -> None:
    """Drop the whole database with all that it holds."""
    async with provision.event_collection(mongo) as collection:
        await collection.database.client.drop_database(mongo.database)
