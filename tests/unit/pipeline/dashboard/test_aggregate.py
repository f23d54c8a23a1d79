"""What an aggregate counts, and that it counts each record once, in whatever pieces it comes."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from pipeline.dashboard.aggregate import DAY, MINUTE, OTHER, Aggregate, Scale, start_of
from pipeline.dashboard.rows import parts_of
from pipeline.dashboard.tally import FunnelCondition, Tallies
from tests.unit.pipeline.dashboard.records import MINUTE_MS, NOON_MS, Record, event, raw

EXPIRES = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = [
    FunnelCondition.parse("page_view"),
    FunnelCondition.parse("page_view:/signup"),
    FunnelCondition.parse("signup"),
]


def counted(*records: Record, scale: Scale = MINUTE, partition: str = "p", into: Aggregate | None = None) -> Aggregate:
    aggregate = into or Aggregate(scale, start_of(scale, NOON_MS))
    return aggregate.with_parts(parts_of(partition, records), Tallies(STEPS)) or aggregate


def content(aggregate: Aggregate) -> dict[str, Any]:
    """All but the order in which types were met."""
    document = aggregate.to_document(EXPIRES)
    for name in ("pages", "referrers"):
        document[name] = dict(zip(document[name]["names"], document[name]["counts"], strict=True))
    return {**document, "types": sorted(document["types"]), "next": sorted(document["next"])}


def test_types_are_counted_in_steps_of_ten_seconds() -> None:
    found = counted(event(0), event(1, at_ms=NOON_MS + 59_999), event(2, kind="signup", at_ms=NOON_MS + 10_000))
    assert found.types == {"page_view": [1, 0, 0, 0, 0, 1], "signup": [0, 1, 0, 0, 0, 0]}
    assert found.events == 3


def test_a_day_counts_types_as_a_whole() -> None:
    assert counted(event(0), event(1, at_ms=NOON_MS + 30_000), scale=DAY).types == {"page_view": [2]}


def test_pages_referrers_and_users_are_counted() -> None:
    found = counted(event(0, "1", url="/a", ref="x"), event(1, "2", url="/a"), event(2, "1", url="/b", ref="x"))
    assert found.pages.top(9) == [("/a", 2), ("/b", 1)]
    assert found.referrers.top(9) == [("x", 2)]
    assert found.users.estimate() == 2


def test_a_record_that_no_worker_stores_is_counted_apart() -> None:
    found = counted(event(0, "1"), raw(1, b"nothing"))
    assert (found.events, found.refused, found.users.estimate()) == (1, 1, 1)


def test_the_funnel_counts_users_by_step() -> None:
    found = counted(
        event(0, "1", url="/home"),
        event(1, "2", url="/signup?from=home"),
        event(2, "2", kind="signup"),
        event(3, "2", kind="signup"),
        scale=DAY,
    )
    assert {step: users.estimate() for step, users in found.funnel.items()} == {
        "page_view": 2,
        "page_view:/signup": 1,
        "signup": 1,
    }


def test_a_redelivery_changes_nothing() -> None:
    records = [event(0), event(1)]
    once = counted(*records)
    assert once.with_parts(parts_of("p", records), Tallies(STEPS)) is None


def test_of_a_batch_that_is_known_in_part_only_the_rest_is_counted() -> None:
    whole = counted(*(event(each, str(each), url=f"/{each}") for each in range(10)))
    half = counted(*(event(each, str(each), url=f"/{each}") for each in range(6)))
    again = counted(*(event(each, str(each), url=f"/{each}") for each in range(3, 10)), into=half)
    assert content(again) == content(whole)


def test_partitions_with_the_same_offsets_are_counted_separately() -> None:
    found = counted(event(0), partition="one:0")
    found = counted(event(0), partition="other:0", into=found)
    assert found.events == 2


@pytest.mark.parametrize("seed", range(5))
def test_any_redeliveries_of_any_pieces_count_each_record_once(seed: int) -> None:
    chosen = random.Random(seed)  # noqa: S311  a test's
    records = [event(each, str(each % 40), url=f"/{each % 7}", at_ms=NOON_MS + each * 50) for each in range(900)]
    whole, found, done = counted(*records), Aggregate(MINUTE, NOON_MS), 0
    while done < len(records):
        start = chosen.randrange(done + 1)  # a reader begins anywhere before what is done, and reads on
        stop = min(len(records), start + chosen.randrange(1, 300))
        found = counted(*records[start:stop], into=found)
        done = max(done, stop)
    assert content(found) == content(whole)


def test_counting_leaves_the_older_version_as_it_was() -> None:
    older = counted(event(0, "1", url="/a"))
    before = content(older)
    counted(event(1, "2", url="/b"), into=older)
    assert content(older) == before


def test_an_aggregate_survives_the_way_through_the_database() -> None:
    found = counted(event(0, "1", url="/a", ref="x"), event(1, kind="signup"), raw(2, b""), scale=DAY)
    found.version = 4
    read = Aggregate.from_document(DAY, bson.decode(bson.encode(found.to_document(EXPIRES)), CODEC))
    assert content(read) == content(found)
    assert (read.start_ms, read.version) == (found.start_ms, 4)


CODEC: Any = bson.CodecOptions(tz_aware=True)


@pytest.mark.parametrize("name", ["$where", "a.b", "\x00", "", "\ud800", "<script>", "x" * 100_000, "__proto__"])
def test_whatever_a_producer_writes_can_be_kept(name: str) -> None:
    value = {"event": name or "a", "user_id": name, "props": {"url": name, "ref": name}}
    import json  # noqa: PLC0415  only here

    found = counted(raw(0, json.dumps(value).encode()), scale=DAY)
    assert len(bson.encode(found.to_document(EXPIRES))) < 20_000


def test_a_document_stays_small_however_many_names_there_are() -> None:
    found = Aggregate(DAY, start_of(DAY, NOON_MS))
    for start in range(0, 20_000, 2_000):
        some = [
            event(each, f"u{each}", kind=f"type-{each}", url=f"/{each}" + "y" * 300, ref=f"r{each}" + "z" * 300)
            for each in range(start, start + 2_000)
        ]
        found = counted(*some, scale=DAY, into=found)
    assert len(bson.encode(found.to_document(EXPIRES))) < 400_000
    assert found.events == 20_000
    assert len(found.types) <= 33
    assert found.types[OTHER][0] > 19_000


def test_a_minute_begins_where_its_minute_does() -> None:
    assert start_of(MINUTE, NOON_MS + MINUTE_MS - 1) == NOON_MS
    assert start_of(DAY, NOON_MS) == NOON_MS - 12 * 3_600_000
