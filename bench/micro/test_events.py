"""What one event costs, function by function; each call takes 1,000 of them. No servers are needed."""

from __future__ import annotations

import bson
import msgspec
import pytest
from aiokafka.structs import ConsumerRecord
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.events import message_of, read_event
from pipeline.identifiers import document_id, new_event_id
from pipeline.worker.mapping import document_of

RECORD_TIMESTAMP_MS = 1_764_158_400_000


@pytest.fixture
def records(messages: list[bytes]) -> list[ConsumerRecord[bytes, bytes]]:
    return [
        ConsumerRecord(
            topic="events_page_view",
            partition=0,
            offset=offset,
            timestamp=RECORD_TIMESTAMP_MS,
            timestamp_type=0,
            key=b"user",
            value=value,
            checksum=None,
            serialized_key_size=4,
            serialized_value_size=len(value),
            headers=(),
        )
        for offset, value in enumerate(messages)
    ]


@pytest.mark.benchmark(group="1,000 events at the API")
def test_decode_and_check(benchmark: BenchmarkFixture, messages: list[bytes]) -> None:
    events = benchmark(lambda: [read_event(message) for message in messages])
    assert [event.event_id for event in events] == [msgspec.json.decode(each)["event_id"] for each in messages]


@pytest.mark.benchmark(group="1,000 events at the API")
def test_encode_for_kafka(benchmark: BenchmarkFixture, messages: list[bytes]) -> None:
    events = [read_event(message) for message in messages]
    encoded = benchmark(lambda: [message_of(event) for event in events])
    assert [read_event(each) for each in encoded] == events


@pytest.mark.benchmark(group="1,000 identifiers")
def test_new_event_id(benchmark: BenchmarkFixture) -> None:
    made = benchmark(lambda: [new_event_id() for _ in range(1_000)])
    assert len(set(made)) == 1_000


@pytest.mark.benchmark(group="1,000 identifiers")
@pytest.mark.parametrize("rule", ["uuid7", "other_id", "no_id"])
def test_document_id(benchmark: BenchmarkFixture, messages: list[bytes], rule: str) -> None:
    by_rule: dict[str, list[str | None]] = {
        "uuid7": [new_event_id() for _ in messages],
        "other_id": [f"order-{number}" for number in range(len(messages))],
        "no_id": [None] * len(messages),
    }
    given = list(zip(by_rule[rule], range(len(messages)), messages, strict=True))

    def identify() -> list[bytes]:
        return [
            document_id(
                event_id,
                topic="events_generic",
                partition=0,
                offset=offset,
                timestamp_ms=RECORD_TIMESTAMP_MS,
                value=value,
            )
            for event_id, offset, value in given
        ]

    assert len(set(benchmark(identify))) == len(messages)


@pytest.mark.benchmark(group="1,000 events in a worker")
def test_decode_and_map(benchmark: BenchmarkFixture, records: list[ConsumerRecord[bytes, bytes]]) -> None:
    documents = benchmark(lambda: [document_of(record) for record in records])
    assert len({document["_id"] for document in documents}) == len(records)


@pytest.mark.benchmark(group="1,000 events in a worker")
def test_encode_as_bson(benchmark: BenchmarkFixture, records: list[ConsumerRecord[bytes, bytes]]) -> None:
    documents = [document_of(record) for record in records]
    encoded = benchmark(lambda: bson.encode({"documents": documents}))
    assert len(bson.decode(encoded)["documents"]) == len(records)
