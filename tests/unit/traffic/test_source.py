"""What goes over the wire: bodies made a strip at a time say what the audit expects of each event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic import identity
from traffic.content import Content
from traffic.payload import BATCH_PATH, SINGLE_PATH, Payload
from traffic.source import TableSource, source_of
from traffic.spec import LoadSpec, Traffic

TRAFFIC = Traffic(table_events=640)
MOMENT_MS = 1_764_158_400_123


def events_in(payload: Payload) -> list[dict[str, object]]:
    content = msgspec.json.decode(payload.body)
    return content["events"] if payload.path == BATCH_PATH else [content]


def events_of(
    content: Content, run: int, stream: int, sequences: Sequence[int], unix_ms: int
) -> list[dict[str, object]]:
    """Return events without a strip: from the table's steps, field by field."""
    places = content.places(np.full(len(sequences), stream), np.array(sequences)).tolist()
    stamp = datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    events: list[dict[str, object]] = []
    for place, sequence in zip(places, sequences, strict=True):
        step, packed = content.table.steps[place], identity.pack(run, stream, sequence)
        filling = {"filling": "x" * length} if (length := content.table.filling_bytes[place]) else {}
        events.append(
            {
                "event": step.event_type,
                "user_id": step.user_id,
                "props": {"url": step.url, "ref": step.ref, **filling, "tidemark": packed},
                "timestamp": stamp,
                "event_id": identity.event_id(unix_ms, packed),
            }
        )
    return events


@pytest.mark.parametrize(("run", "stream"), [(0, 0), (0, 3), (9, 1), (identity.MAX_RUN, identity.MAX_STREAM)])
def test_over_rounds_of_the_table_each_event_sent_is_the_one_that_the_audit_makes(run: int, stream: int) -> None:
    content = Content(TRAFFIC, seed=1, run=run)
    source = TableSource(Content(TRAFFIC, seed=1, run=run), stream)
    random = np.random.default_rng(5)
    first = 0
    ids: set[object] = set()
    while first < 12_000:  # the numbers of the first run and stream get five digits within
        unix_ms = MOMENT_MS + 7 * first
        batch = bool(random.random() < 0.7)
        count = int(random.integers(1, 500)) if batch else 1
        sent = events_in(source.payload(first, count, unix_ms, batch=batch))
        assert sent == events_of(content, run, stream, range(first, first + count), unix_ms)
        ids.update(event["event_id"] for event in sent)
        first += count
    assert len(ids) == first
    for sequence in (0, 9, 10, 639, 640, 9_999, 10_000):
        assert [content.event(stream, sequence, MOMENT_MS)] == events_of(content, run, stream, [sequence], MOMENT_MS)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, (1 << 36) - 2_000), st.integers(1, 1_000)), max_size=5))
def test_a_request_is_the_same_whatever_was_asked_for_before(asked: list[tuple[int, int]]) -> None:
    source = TableSource(Content(TRAFFIC, seed=1, run=4), 2)
    for first, count in asked:
        fresh = TableSource(Content(TRAFFIC, seed=1, run=4), 2)
        wanted = fresh.payload(first, count, MOMENT_MS + first, batch=True)
        assert source.payload(first, count, MOMENT_MS + first, batch=True) == wanted


def test_a_body_that_was_handed_out_stays_as_it_was() -> None:
    source = TableSource(Content(TRAFFIC, seed=1, run=4), 0)
    early = source.payload(0, 1, MOMENT_MS, batch=False)
    kept = bytes(early.body)
    source.payload(0, 10, MOMENT_MS + 1_000, batch=True)
    assert early.body == kept


def test_large_events_make_requests_of_their_own_too() -> None:
    spec = LoadSpec(traffic=Traffic(table_events=64, payload_bytes=60_000))
    events = events_in(source_of(spec, 0, 1).payload(60, 10, MOMENT_MS, batch=True))
    content = Content(spec.traffic, spec.seed, spec.run)
    assert events == [content.event(0, sequence, MOMENT_MS) for sequence in range(60, 70)]


def test_single_events_and_batches_have_paths_of_their_own() -> None:
    source = source_of(LoadSpec(traffic=TRAFFIC), 0, 1)
    assert source.payload(0, 1, MOMENT_MS, batch=False).path == SINGLE_PATH
    assert source.payload(1, 1, MOMENT_MS, batch=True).path == BATCH_PATH
