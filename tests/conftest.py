"""Real servers for the tests that need them, and settings of each test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator

import pytest
from msgspec import Struct, structs

from pipeline import provision
from pipeline.errors import MissingPartError
from pipeline.settings import Kafka, Mongo, Settings, Worker, load
from tests import database

_STACK_OPTIONS = ("--brokers", "--coordination", "--mongo-members")


class Servers(Struct, frozen=True):
    """Where the Kafka and the MongoDB of this test session are; the rest only where they were started for it."""

    kafka_bootstrap_servers: str
    mongo_uri: str
    kafka_counters_urls: tuple[str, ...] = ()
    mongo_member_uris: tuple[str, ...] = ()
    pids: dict[str, list[int]] = {}
    copies: dict[str, int] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the servers that are started, as for ``up`` and ``bench``."""
    servers = parser.getgroup("servers that are started for the tests")
    for option in _STACK_OPTIONS:
        servers.addoption(option, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Let the commands that tests run see the choice too."""
    for option in _STACK_OPTIONS:
        chosen = config.getoption(option)
        if chosen is not None:
            os.environ[f"PIPELINE_LOCAL_{option.lstrip('-').replace('-', '_')}".upper()] = chosen


@pytest.fixture(scope="session")
def parts_are_there() -> None:
    """Skip what starts servers of its own where a part of them cannot be had; in CI that is a failure."""
    from pipeline.local import jars, programs, stackspec  # noqa: PLC0415  only where it is needed

    local = load(os.environ).local
    try:
        programs.find_java(local)
        programs.find_mongod(local)
        jars.kafka_jars(jars.cache_folder(local.cache_dir), print, version=stackspec.from_settings(local).kafka_version)
    except MissingPartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no servers to test with: {error}")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of PIPELINE_KAFKA_BOOTSTRAP_SERVERS and PIPELINE_MONGO_URI if both are set, else the local stack."""
    given = load(os.environ)
    if "PIPELINE_KAFKA_BOOTSTRAP_SERVERS" in os.environ and "PIPELINE_MONGO_URI" in os.environ:
        yield Servers(given.kafka.bootstrap_servers, given.mongo.uri)
        return
    from pipeline.local import stackspec  # noqa: PLC0415  only where it is needed
    from pipeline.local.stack import LocalStack  # noqa: PLC0415  likewise

    request.getfixturevalue("parts_are_there")
    with LocalStack(given.local, logs_dir=tmp_path_factory.mktemp("servers"), kafka_counters=True) as stack:
        yield Servers(
            stack.kafka_bootstrap_servers,
            stack.mongo_uri,
            stack.kafka_counters_urls,
            stack.mongo_member_uris,
            stack.pids,
            stackspec.copies_of(stack.spec),
        )


@contextlib.contextmanager
def settings_of_its_own(servers: Servers, initial: str, **api: object) -> Iterator[Settings]:
    """Settings with topics, group and database that nobody else has: made before, dropped after; ``api``: changes."""
    unique = f"{initial}{secrets.token_hex(6)}"
    mine = Settings(
        kafka=Kafka(
            bootstrap_servers=servers.kafka_bootstrap_servers,
            topic_prefix=f"{unique}_events_",
            dead_letter_topic=f"{unique}_dead_letters",
        ),
        mongo=Mongo(uri=servers.mongo_uri, database=f"tidemark_{unique}"),
        worker=Worker(group_id=f"{unique}_workers", shutdown_timeout_s=10.0, retry_pause_s=0.2),
    )
    kafka = structs.replace(mine.kafka, **servers.copies)
    mine = structs.replace(mine, kafka=kafka, api=structs.replace(mine.api, **api))
    asyncio.run(_prepare(mine))
    yield mine
    asyncio.run(_clear(mine))


@pytest.fixture
def settings(servers: Servers) -> Iterator[Settings]:
    """Settings of this test's own."""
    with settings_of_its_own(servers, "t", port=0) as mine:
        yield mine


async def _prepare(settings: Settings) -> None:
    await asyncio.gather(provision.create_topics(settings.kafka), provision.create_indexes(settings.mongo))


async def _clear(settings: Settings) -> None:
    await asyncio.gather(provision.delete_topics(settings.kafka), database.drop(settings.mongo))
