"""Topics and indexes on real servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from pymongo.collection import Collection

from pipeline import provision
from pipeline.commands import reachability
from pipeline.settings import Settings
from tests import database


async def test_everything_is_made_once_and_found_the_second_time(settings: Settings) -> None:
    await provision.delete_topics(settings.kafka)
    await database.drop(settings.mongo)

    first = await provision.create_topics(settings.kafka)
    again = await provision.create_topics(settings.kafka)

    assert {topic.name for topic in first} == set(provision.wanted_topics(settings.kafka))
    assert all(topic.made and topic.partitions == topic.wanted for topic in first)
    assert not any(topic.made for topic in again)

    assert all(index.made for index in await provision.create_indexes(settings.mongo))
    assert not any(index.made for index in await provision.create_indexes(settings.mongo))


async def test_two_that_make_the_same_at_once_are_both_content(settings: Settings) -> None:
    await provision.delete_topics(settings.kafka)
    outcomes = await asyncio.gather(*(provision.create_topics(settings.kafka) for _ in range(4)))
    assert all(topic.partitions == topic.wanted for each in outcomes for topic in each)


def test_a_test_that_is_not_async_has_settings_too(settings: Settings) -> None:
    assert settings.kafka.topic_prefix.endswith("_events_")


async def test_a_topic_with_too_few_partitions_stays_so_unless_it_is_asked_to_grow(settings: Settings) -> None:
    wider = structs.replace(settings.kafka, partitions=settings.kafka.partitions + 2)
    name = settings.kafka.topic_prefix + "signup"

    left = {topic.name: topic for topic in await provision.create_topics(wider)}
    assert (left[name].wanted, left[name].partitions) == (5, 3)

    grown = {topic.name: topic for topic in await provision.create_topics(wider, grow=True)}
    assert (grown[name].found, grown[name].partitions) == (3, 5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"timeseries": {"timeField": "timestamp"}}, "time-series"),
        ({"capped": True, "size": 1_000_000}, "capped"),
        ({"viewOn": "others"}, "view"),
    ],
)
async def test_check_names_a_collection_that_does_not_keep_each_event_once(
    settings: Settings, collection: Collection[dict[str, Any]], options: dict[str, Any], word: str
) -> None:
    collection.drop()
    collection.database.create_collection(collection.name, **options)
    faults = [part for part in await reachability.check(settings, with_api=False) if not part.ok]
    assert [word in part.seen for part in faults] == [True]


async def test_check_finds_nothing_wrong_with_what_init_made(settings: Settings) -> None:
    assert [part for part in await reachability.check(settings, with_api=False) if not part.ok] == []
