"""What becomes of a sampled event: found, looked for again, or not stored within the time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from bson import ObjectId

from pipeline.dashboard import latencies
from pipeline.dashboard.database import Database
from pipeline.dashboard.rows import MINUTE_MS
from pipeline.dashboard.sampler import Sampler, Watched
from pipeline.settings import Settings
from tests.unit.pipeline.dashboard.records import event, raw

ONE, OTHER = ObjectId(), ObjectId()


@pytest.fixture
async def sampler() -> AsyncIterator[Sampler]:
    settings = Settings()
    database = Database(settings.mongo)  # never asked here
    yield Sampler(settings, database, timedelta(hours=1))
    await database.close()


def watch(sampler: Sampler, identifier: ObjectId, *, ago_s: float) -> None:
    """As if the event had come ``ago_s`` ago."""
    now_s = time.monotonic() - ago_s
    sampler._watched[identifier] = Watched(round((time.time() - ago_s) * 1000), now_s, now_s)


def sampled(sampler: Sampler) -> latencies.SampledPercentiles:
    return latencies.percentiles(latencies.summed(sampler._minutes.values()))


async def test_a_record_that_came_is_looked_for_at_once(sampler: Sampler) -> None:
    sampler._watch({None: [event(0, at_ms=round(time.time() * 1000))]})  # type: ignore[dict-item]  a key that nobody reads
    assert sampler.unseen.waiting == 1
    assert all(each.look_at_s <= time.monotonic() for each in sampler._watched.values())


async def test_what_no_worker_stores_is_not_looked_for(sampler: Sampler) -> None:
    sampler._watch({None: [raw(0, b"no event")]})  # type: ignore[dict-item]  likewise
    sampler._watch({})
    assert sampler.unseen.waiting == 0


async def test_a_found_event_is_a_sample_of_its_age(sampler: Sampler) -> None:
    watch(sampler, ONE, ago_s=4)
    watch(sampler, OTHER, ago_s=1)
    sampler._note({ONE}, [ONE])
    assert sampler.unseen.waiting == 1
    found = sampled(sampler)
    assert found.samples == 1
    assert 4_000 <= (found.p50_ms or 0) <= 1.2 * 1.2 * 4_100


async def test_samples_are_of_the_minute_in_which_they_were_found(sampler: Sampler) -> None:
    watch(sampler, ONE, ago_s=100)
    before_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    sampler._note({ONE}, [ONE])
    after_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    assert next(iter(sampler._minutes)) in (before_ms, after_ms)


async def test_an_event_that_is_not_there_is_looked_for_less_and_less_often(sampler: Sampler) -> None:
    watch(sampler, ONE, ago_s=0)
    watch(sampler, OTHER, ago_s=60)
    sampler._note(set(), [ONE, OTHER])
    now_s = time.monotonic()
    assert sampler._watched[ONE].look_at_s - now_s <= 0.1
    assert 2.5 <= sampler._watched[OTHER].look_at_s - now_s <= 3.1
    assert sampler.unseen.oldest_s >= 59


@pytest.mark.parametrize(("ago_s", "given_up"), [(119, 0), (121, 1)])
async def test_after_two_minutes_it_is_not_looked_for_any_more(sampler: Sampler, ago_s: float, given_up: int) -> None:
    watch(sampler, ONE, ago_s=ago_s)
    sampler._note(set(), [ONE])
    assert (sampler.unseen.given_up, sampler.unseen.waiting) == (given_up, 1 - given_up)
    assert sampled(sampler).samples == 0


async def test_a_clock_that_goes_back_makes_no_negative_latency(sampler: Sampler) -> None:
    watch(sampler, ONE, ago_s=-5)
    assert sampler.unseen.oldest_s == 0
    sampler._note({ONE}, [ONE])
    assert sampled(sampler).p99_ms == latencies.UPPER_MS[0]
