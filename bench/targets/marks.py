"""Unique names on the servers, and a mark for each run, so that ``bench clean`` can find what a killed run left.

Everything that a run creates on the servers is named ``tidemark-<token>-...``, with a token that no other run has. The
mark is a document in MongoDB. A run writes it first and removes it last; a killed run leaves it behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.retries import PATIENCE_S, answered
from pipeline import provision
from pipeline.errors import MissingPartError
from pipeline.secrecy import reason
from pipeline.settings import Kafka, Mongo, Settings

DATABASE = "tidemark_bench"
MARKS = "bench_runs"
LEASE_S = 3_600.0
_PREFIX = re.compile(r"^tidemark-([0-9a-f]{12})-")
_DELETE_S = 20.0
_START_S = 15.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Mark:
    """The mark of one run on the servers of ``settings``."""

    token: str
    settings: Settings

    @property
    def prefix(self) -> str:
        """The beginning of every name."""
        return f"tidemark-{self.token}-"

    def renew(self, length_s: float) -> None:
        """Record that the run is alive for the next ``length_s`` seconds and an hour more."""
        until = datetime.now(UTC) + timedelta(seconds=LEASE_S + length_s)
        with _marks(self.settings.mongo) as marks:
            marks.update_one({"_id": self.token}, {"$set": {"lives_until": until}})

    async def renewed(self, length_s: float) -> None:
        """Like :meth:`renew`, but MongoDB may be away for a while.

        Raises:
            MissingPartError: it is away for longer, or may not be written.
        """
        await _written(self.settings.mongo, lambda: self.renew(length_s), PATIENCE_S)

    def make(self, what: str) -> None:
        """Write the mark; ``what``: the run, in words."""
        with _marks(self.settings.mongo) as marks:
            marks.insert_one({"_id": self.token, "run": what, **_this_process()})
        self.renew(0.0)

    async def remove(self) -> None:
        """Remove everything under its names, then the mark."""
        found = await leftovers(self.settings, [self.token])
        await delete(self.settings, found)
        with _marks(self.settings.mongo) as marks:
            marks.delete_one({"_id": self.token})


def new_token() -> str:
    """Return a token that no other run has."""
    return secrets.token_hex(6)


@dataclass(frozen=True)
class Left:
    """Names on the servers that are ours."""

    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.topics or self.groups or self.collections)


async def leftovers(settings: Settings, tokens: Sequence[str] | None = None) -> Left:
    """Find everything with a name like ours; with ``tokens``, only theirs.

    Raises:
        MissingPartError, ProvisionError, PyMongoError: a server does not answer, or refused.
    """

    def ours(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(
            sorted(name for name in names if (token := token_of(name)) and (tokens is None or token in tokens))
        )

    async with provision.admin_client(settings.kafka) as client:
        topics = await client.list_topics()
        groups = await client.list_consumer_groups()
    collections = await asyncio.to_thread(_collections, settings.mongo)
    return Left(ours(topics), ours(name for name, *_ in groups), ours(collections))


def token_of(name: str) -> str:
    """Return the token in a name; empty if the name is not ours."""
    match = _PREFIX.match(name)
    return match[1] if match else ""


async def delete(settings: Settings, found: Left) -> None:
    """Delete what was found, and wait until topics and groups are gone.

    Raises:
        MissingPartError, ProvisionError, KafkaError, PyMongoError: a server does not answer, or refused.
    """
    if found.topics:
        async with provision.admin_client(settings.kafka) as client, asyncio.timeout(_DELETE_S):
            await provision.remove_topics(client, found.topics)
    for group in found.groups:
        await delete_group(settings.kafka, group)
    if found.collections:
        await asyncio.to_thread(_drop, settings.mongo, found.collections)


async def delete_group(kafka: Kafka, group_id: str) -> None:
    """Delete a consumer group, which may have members for a moment still.

    Raises:
        MissingPartError, ProvisionError, KafkaError: Kafka does not answer, or the group is in use.
    """

    async def once() -> None:
        async with provision.admin_client(kafka) as client:
            await _delete_group(client, group_id)

    await answered(once, patience_s=_DELETE_S)


async def _delete_group(client: AIOKafkaAdminClient, group_id: str) -> None:
    coordinator = await client.find_coordinator(group_id)
    # aiokafka has the request, and no method for it.
    response = await client._send_request(DeleteGroupsRequest([group_id]), coordinator)  # noqa: SLF001
    for name, code in response.results:
        error = for_code(code)
        if code and error.__name__ != "GroupIdNotFound":
            raise error(f"the consumer group {name} was not deleted")


@dataclass(frozen=True)
class Living:
    """A mark on a server: its run, and whether that is alive."""

    token: str
    run: str
    where: str
    lives: bool


def found_marks(mongo: Mongo) -> tuple[Living, ...]:
    """Return every mark on a server.

    Raises:
        PyMongoError: it does not answer, or refused.
    """
    with _marks(mongo) as marks:
        return tuple(_living(each) for each in marks.find())


def forget(mongo: Mongo, tokens: Sequence[str]) -> None:
    """Remove marks; raises PyMongoError."""
    with _marks(mongo) as marks:
        marks.delete_many({"_id": {"$in": list(tokens)}})


def _living(mark: dict[str, Any]) -> Living:
    here = _this_process()
    where = f"process {mark.get('pid')} on {mark.get('host')}"
    if (mark.get("host"), mark.get("boot")) == (here["host"], here["boot"]):
        lives = _runs(mark.get("pid"), mark.get("began"))
    else:
        until = mark.get("lives_until")
        lives = isinstance(until, datetime) and until > datetime.now(UTC)
    return Living(str(mark["_id"]), str(mark.get("run", "")), where, lives)


def _runs(pid: object, began: object) -> bool:
    if not isinstance(pid, int) or not isinstance(began, float):
        return False
    try:
        return abs(psutil.Process(pid).create_time() - began) < 1.0
    except psutil.Error:
        return False


def _this_process() -> dict[str, Any]:
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else str(psutil.boot_time())
    with contextlib.suppress(OSError):  # in a container processes have numbers of their own
        boot += str(_PID_NAMESPACE.readlink())
    began = psutil.Process().create_time()
    return {"host": socket.gethostname(), "boot": boot, "pid": os.getpid(), "began": began}


@contextlib.contextmanager
def client_of(mongo: Mongo) -> Iterator[MongoClient[dict[str, Any]]]:
    """Return a client whose every request is bounded by ``mongo.timeout_ms``; it is closed after the block."""
    bound_ms = mongo.timeout_ms
    with MongoClient[dict[str, Any]](
        mongo.uri, serverSelectionTimeoutMS=bound_ms, socketTimeoutMS=bound_ms, tz_aware=True
    ) as client:
        yield client


@contextlib.contextmanager
def _marks(mongo: Mongo) -> Iterator[Any]:
    with client_of(mongo) as client:
        yield client[DATABASE][MARKS]


def _collections(mongo: Mongo) -> list[str]:
    with client_of(mongo) as client:
        return client[DATABASE].list_collection_names()


def _drop(mongo: Mongo, names: Sequence[str]) -> None:
    with client_of(mongo) as client:
        for name in names:
            client[DATABASE].drop_collection(name)


@contextlib.asynccontextmanager
async def marked(settings: Settings, what: str, on_left: Callable[[str], None]) -> AsyncIterator[Mark]:
    """Keep a mark on the servers for the block, and use names that nobody else has.

    ``on_left`` is called with a message if something may be left there.

    Raises:
        MissingPartError: MongoDB does not answer, or may not be written.
    """
    mark = Mark(new_token(), settings)
    await _written(settings.mongo, lambda: mark.make(what), _START_S)
    try:
        yield mark
    finally:
        try:
            await mark.remove()
        except Exception as error:  # noqa: BLE001 - it must not hide what ended the block
            on_left(f"something may be left on the servers ({error}): remove it with ./tidemark bench clean")


async def _written(mongo: Mongo, write: Callable[[], None], patience_s: float) -> None:
    """Write to MongoDB; retry for ``patience_s`` while it does not answer.

    Raises:
        MissingPartError: it does not answer, or may not be written.
    """
    try:
        await answered(lambda: asyncio.to_thread(write), patience_s=patience_s)
    except (PyMongoError, ValueError, OSError) as error:  # OSError: a certificate's file
        remedy = "start it, or let this user write to the database " + DATABASE
        said = reason(error, mongo.uri).partition(" (configured")[0]  # all options of the client follow
        raise MissingPartError(f"MongoDB at {mongo.shown_uri} cannot be used ({said}): {remedy}") from None
