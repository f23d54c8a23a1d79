"""Print stored events as JSON, without the MongoDB shell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from bson import json_util
from bson.errors import BSONError
from msgspec import Struct, structs

from pipeline import provision
from pipeline.errors import UsageError
from pipeline.settings import Mongo

LONGEST_MS = 30_000
EXAMPLE = '\'{"user_id": "123"}\''


class Query(Struct, frozen=True):
    """Which documents, how many of them, and in which order: names of fields with 1 or -1."""

    filter: Mapping[str, Any]
    limit: int
    sort: tuple[tuple[str, int], ...] = ()


def read(filter_text: str, sort: str, limit: int) -> Query:
    """Read what the command line asks for.

    Raises:
        UsageError: the filter is not a JSON object; the message says where the error is.
    """
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.RELAXED, tz_aware=True)
    try:
        found = json_util.loads(filter_text, json_options=options)
    except RecursionError:
        raise UsageError("the filter is nested too deeply: write a simpler one") from None
    except (BSONError, ValueError, TypeError) as error:  # json's own, and those of a value like {"$oid": "x"}
        message = f"the filter {filter_text!r} is not JSON: {error}. Write it in single quotes, such as {EXAMPLE}"
        raise UsageError(message) from error
    if not isinstance(found, dict):
        raise UsageError(f"the filter {filter_text!r} is not a JSON object: write one, such as {EXAMPLE}")
    fields = [each.strip() for each in sort.split(",") if each.strip(" -")]
    return Query(found, limit, tuple((each.lstrip("-"), -1 if each.startswith("-") else 1) for each in fields))


async def lines(mongo: Mongo, query: Query) -> AsyncIterator[str]:
    """Yield the documents, each as one line of MongoDB's relaxed extended JSON.

    Raises:
        SettingError, MissingPartError, ProvisionError: as :func:`pipeline.provision.event_collection`;
            also where the server does not know an operator, or takes too long.
    """
    bounded = structs.replace(mongo, timeout_ms=min(mongo.timeout_ms, LONGEST_MS))
    async with provision.event_collection(bounded) as collection:
        cursor = collection.find(query.filter, limit=query.limit, sort=list(query.sort) or None)
        async for document in cursor:
            yield json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)
