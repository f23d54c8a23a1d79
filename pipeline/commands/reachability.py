"""What of the pipeline can be reached, part by part, within a bounded time."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from pymongo.asynchronous.collection import AsyncCollection

from pipeline import provision
from pipeline.addresses import url
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.messages import skipped
from pipeline.settings import Api, Kafka, Mongo, Settings

# Longer than any healthy server takes, shorter than a person's patience; smaller settings win.
PART_TIMEOUT_MS = 5_000

_INIT = "run `./tidemark init`"


class PartCheck(Struct, frozen=True):
    """One part: whether it is as the pipeline needs it, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    seen: str
    remedy: str = ""


async def check(settings: Settings, *, with_api: bool = True) -> tuple[PartCheck, ...]:
    """Look at Kafka, its topics, MongoDB, its indexes and the API, all at once.

    What cannot be reached is named in the result, not raised.

    Raises:
        SettingError: a setting cannot be used.
    """
    kafka = msgspec.structs.replace(
        settings.kafka, request_timeout_ms=min(settings.kafka.request_timeout_ms, PART_TIMEOUT_MS)
    )
    mongo = msgspec.structs.replace(settings.mongo, timeout_ms=min(settings.mongo.timeout_ms, PART_TIMEOUT_MS))
    looks = [_check_kafka(kafka, settings.worker.group_id), _check_mongo(mongo)]
    if with_api:
        looks.append(_check_api(settings.api))
    return tuple(part for parts in await asyncio.gather(*looks) for part in parts)


async def _check_kafka(kafka: Kafka, group_id: str) -> list[PartCheck]:
    name = f"Kafka at {kafka.bootstrap_servers}"
    try:
        async with provision.admin_client(kafka) as client, asyncio.timeout(kafka.request_timeout_ms / 1000):
            brokers = len((await client.describe_cluster())["brokers"])
            found = await provision.partition_counts(client)
            missed = await skipped.missed(client, kafka, group_id, found)
    except (MissingPartError, ProvisionError) as error:
        return [PartCheck(name, ok=False, seen="not reachable", remedy=str(error))]
    parts = [PartCheck(name, ok=True, seen=f"reachable, {brokers} {'broker' if brokers == 1 else 'brokers'}")]
    for topic, wanted in provision.wanted_topics(kafka).items():
        parts.append(_topic_part(topic, wanted, found.get(topic, 0)))
    parts.append(_group_part(group_id, missed))
    return parts


def _group_part(group_id: str, missed: Sequence[skipped.Missed]) -> PartCheck:
    name = f"consumer group {group_id}"
    if not missed:
        return PartCheck(name, ok=True, seen="no record was deleted before it was read")
    remedy = (
        "they are not stored: send them again if you can; keep workers running, or raise PIPELINE_KAFKA_RETENTION_MS"
    )
    return PartCheck(name, ok=False, seen="; ".join(each.words() for each in missed), remedy=remedy)


def _topic_part(topic: str, wanted: int, found: int) -> PartCheck:
    name = f"topic {topic}"
    if not found:
        return PartCheck(name, ok=False, seen="not there, or without a leader", remedy=_INIT)
    if found < wanted:
        return PartCheck(name, ok=False, seen=f"{found} of {wanted} partitions", remedy=f"{_INIT} with --grow")
    return PartCheck(name, ok=True, seen=f"{found} {'partition' if found == 1 else 'partitions'}")


async def _check_mongo(mongo: Mongo) -> list[PartCheck]:
    name = f"MongoDB at {mongo.shown_uri}"
    try:
        async with provision.event_collection(mongo) as collection:
            return await _mongo_parts(name, collection)
    except (MissingPartError, ProvisionError) as error:
        return [PartCheck(name, ok=False, seen="not reachable, or it refuses", remedy=str(error))]


async def _mongo_parts(name: str, collection: AsyncCollection[Mapping[str, Any]]) -> list[PartCheck]:
    admin = collection.database.client.admin
    version = (await admin.command("buildInfo"))["version"]
    hello = await admin.command("hello")
    parts = [PartCheck(name, ok=True, seen=f"reachable, version {version}")]
    if hello.get("setName"):
        kind = f"replica set {hello['setName']} of {len(hello['hosts'])}"
    elif hello.get("msg") == "isdbgrid":
        kind = "a router of shards"
    else:
        kind = "a standalone server: w: majority is this one server's word"
    writable = bool(hello.get("isWritablePrimary"))
    remedy = "" if writable else "name the primary in PIPELINE_MONGO_URI, or wait until one is elected"
    parts.append(
        PartCheck(
            "MongoDB writes", ok=writable, seen=("writable, " if writable else "read-only, ") + kind, remedy=remedy
        )
    )
    kind_part = await _collection_part(collection)
    if not kind_part.ok:  # a view has no indexes to look at either
        return [*parts, kind_part]
    missing = await provision.missing_indexes(collection)
    for field, direction in provision.INDEXES:
        there = (field, direction) not in missing
        seen = "there" if there else "missing"
        parts.append(PartCheck(f"index {field}: {direction}", ok=there, seen=seen, remedy="" if there else _INIT))
    return parts


async def _collection_part(collection: AsyncCollection[Mapping[str, Any]]) -> PartCheck:
    """Check whether the collection keeps each event, and keeps it once."""
    name, another = f"collection {collection.full_name}", "name another one in PIPELINE_MONGO_COLLECTION"
    found = await (await collection.database.list_collections(filter={"name": collection.name})).to_list()
    about = found[0] if found else {}
    if about.get("type", "collection") == "timeseries":
        seen = "a time-series collection: it accepts the same _id twice, so events would be stored twice"
    elif about.get("type", "collection") != "collection":
        seen = f"a {about['type']}: nothing can be written into it"
    elif about.get("options", {}).get("capped"):
        seen = "a capped collection: MongoDB deletes its oldest events"
    else:
        return PartCheck(name, ok=True, seen="there" if found else "not there yet; the first event creates it")
    return PartCheck(name, ok=False, seen=seen, remedy=another)


async def _check_api(api: Api) -> list[PartCheck]:
    address = url(api.host, api.port)
    seen = await asyncio.to_thread(_ask, f"{address}/health/ready")
    ok = seen == "ready"
    remedy = "" if ok else "start it (`./tidemark api`), or set PIPELINE_API_HOST and PIPELINE_API_PORT to its address"
    return [PartCheck(f"API at {address}", ok=ok, seen=seen, remedy=remedy)]


def _ask(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=PART_TIMEOUT_MS / 1000) as response:  # noqa: S310  always http, built above
            return "ready" if response.status == HTTPStatus.OK else f"answers {response.status}"
    except urllib.error.HTTPError as error:
        return f"reachable, but not ready: it answers {error.code}"
    except (OSError, ValueError) as error:
        return f"not reachable: {getattr(error, 'reason', error)}"
