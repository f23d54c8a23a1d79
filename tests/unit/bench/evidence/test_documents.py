"""Documents as MongoDB sends them: all counted by what they carry, and every difference found."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import bson
import numpy as np
import pytest
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON
from bson.objectid import ObjectId

from bench.evidence import documents, rawcursor
from bench.evidence.expected import Expected, expected_document
from bench.evidence.mongodocuments import MongoDocuments
from bench.evidence.offered import ROW, Offered
from bench.evidence.stored import RawDocuments
from pipeline.settings import Mongo
from pipeline.worker.mapping import document_of
from traffic import identity
from traffic.content import Content
from traffic.spec import LoadSpec, Traffic

EPOCH_UNIX_NS = 1_764_158_400_123_000_000
STREAMS = (0, 3)
EVENTS = 700  # of each stream: more than the table has, so that events come round again
REQUEST = 7


def spec_of(run: int = 5, **traffic: object) -> LoadSpec:
    return LoadSpec(run=run, seed=4, traffic=Traffic(table_events=512, **traffic))


def offered(spec: LoadSpec) -> Offered:
    """Requests of 7 events, a millisecond apart, from two streams."""
    rows = np.zeros(len(STREAMS) * EVENTS // REQUEST, dtype=ROW)
    each = EVENTS // REQUEST
    base, counts = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    for number, stream in enumerate(STREAMS):
        part = rows[number * each : (number + 1) * each]
        part["stream"], part["count"] = stream, REQUEST
        part["first"], part["intended"] = np.arange(each) * REQUEST, np.arange(each) * 1_000_000
        base[stream], counts[stream] = number * EVENTS, EVENTS
    of_event = np.repeat(np.arange(len(rows), dtype=np.int32), rows["count"])
    return Offered(spec.run, 0, EPOCH_UNIX_NS, rows, STREAMS, base, counts, of_event, complete=True)


class Message:
    """A record as a worker reads it."""

    topic, partition, offset, timestamp, key = "events_page_view", 0, 0, 0, None

    def __init__(self, value: bytes) -> None:
        self.value, self.serialized_value_size = value, len(value)


def stored(spec: LoadSpec) -> list[dict]:
    """The documents that a worker makes of these events, in the order of their index."""
    content = Content(spec.traffic, spec.seed, spec.run)
    return [
        document_of(Message(value))
        for stream in STREAMS
        for first in range(0, EVENTS, REQUEST)
        for value in content.encode_many(stream, first, REQUEST, EPOCH_UNIX_NS // 1_000_000 + first // REQUEST)
    ]


def batch_of(found: list[dict]) -> RawDocuments:
    """As a server sends them: an array, which in BSON is a document with numbers for names."""
    return rawcursor.cut(bson.encode({str(number): each for number, each in enumerate(found)}))


def scanned(spec: LoadSpec, found: list[dict], share: float = 1.0) -> documents.Documents:
    """What the audit says of ``found``, in batches of 100."""
    of = offered(spec)
    tally = documents._Tally(MongoDocuments(Mongo()), of, Expected(of, spec, MongoDocuments.templates), share)
    for at in range(0, len(found), 100):
        tally.take(batch_of(found[at : at + 100]))
    return tally.documents()


@pytest.mark.parametrize("spec", [spec_of(), spec_of(payload_bytes=1024), spec_of(payload_bytes=0), spec_of(run=0)])
def test_what_a_worker_stores_is_counted_once_each_and_as_it_has_to_be(spec: LoadSpec) -> None:
    found = scanned(spec, stored(spec))
    assert (found.total, found.foreign, found.compared, found.differing) == (1400, 0, 1400, 0)
    assert (found.count_per_event == 1).all()


def test_documents_are_known_without_decoding_them(monkeypatch) -> None:
    """Otherwise the audit would be right, and slow."""

    def decoded(*_: object) -> None:
        raise AssertionError("a document was decoded")

    monkeypatch.setattr(MongoDocuments, "fields", decoded)
    assert scanned(spec_of(), stored(spec_of())).compared == 1400


@pytest.mark.parametrize("payload_bytes", [256, 60_000])
def test_what_is_kept_to_compare_with_does_not_grow_with_the_size_of_documents(payload_bytes: int) -> None:
    traffic = Traffic(table_events=2_048, payload_bytes=payload_bytes)
    table = Content(traffic, 4, 0).table
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        templates = MongoDocuments.templates(table)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    documents_bytes = int(templates._lengths.sum())
    assert after - before < 2_048 * 2_000, f"{after - before} bytes for documents of {documents_bytes}"


def test_of_large_events_fewer_are_prepared_so_that_all_of_them_stay_in_memory() -> None:
    table = Content(Traffic(payload_bytes=60_000), 1, 1).table
    assert 1_000 < len(table.steps) < 1_200
    assert int(table.lengths.sum()) <= 1 << 26
    assert len(Content(Traffic(), 1, 1).table.steps) == Traffic().table_events


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document.update(user_id="somebody else"), "user_id is 'somebody else'"),
        (lambda document: document["props"].update(url="/elsewhere"), "'url': '/elsewhere'"),
        (lambda document: document.update(_id=str(document["_id"])), "_id is \"no ObjectId but '"),
        (lambda document: document.update(_id=ObjectId(b"123456789012")), "_id is '3132333435363738"),
        (lambda document: document.update(timestamp=DatetimeMS(1)), "timestamp is 1"),
        (lambda document: document.update(timestamp="2025"), "timestamp is \"no date but '2025'\""),
        (lambda document: document.update(more=None), "more is None"),
        (lambda document: document.pop("event_type"), "event_type is absent"),
    ],
)
def test_one_document_that_differs_is_found_and_named(change, words: str) -> None:
    found = stored(spec_of())
    change(found[777])
    scan = scanned(spec_of(), found)
    assert (scan.compared, scan.differing) == (1400, 1)
    assert words in scan.differences[0]
    assert (scan.count_per_event == 1).all()


def test_the_same_content_in_another_order_is_no_difference() -> None:
    found = stored(spec_of())
    found[7] = dict(reversed(found[7].items()))
    found[8]["props"] = dict(reversed(found[8]["props"].items()))
    scan = scanned(spec_of(), found)
    assert (scan.differing, scan.foreign, int(scan.count_per_event.sum())) == (0, 0, 1400)


def test_a_second_document_and_a_missing_one_are_seen_by_what_they_carry_and_not_by_their_id() -> None:
    found = stored(spec_of())
    copy = {**found[7], "_id": ObjectId(b"123456789012")}
    scan = scanned(spec_of(), [*found[:3], *found[4:], copy])
    assert scan.count_per_event[3] == 0
    assert scan.count_per_event[7] == 2
    assert (scan.total, scan.foreign) == (1400, 0)


@pytest.mark.parametrize(
    "identity", [None, -1, 1 << 62, (1 << 62) + 7, "7", 7.0, identity.pack(6, 0, 1), identity.pack(5, 1, 1)]
)
def test_a_document_that_carries_no_identity_of_the_run_is_foreign(identity: object) -> None:
    found = stored(spec_of())
    found[7]["props"]["tidemark"] = identity
    scan = scanned(spec_of(), found)
    assert (scan.foreign, scan.strangers) == (1, (str(found[7]["_id"]),))


def test_documents_of_any_other_shape_are_foreign() -> None:
    others = [
        {},
        {"_id": 1},
        {"props": 3},
        {"_id": ObjectId(), "props": {}},
        {"_id": ObjectId(), "event_type": "x" * 99},
    ]
    scan = scanned(spec_of(), [*stored(spec_of()), *others])
    assert (scan.foreign, scan.total, int(scan.count_per_event.sum())) == (5, 1405, 1400)
    assert scanned(spec_of(), others[:1]).foreign == 1


def test_a_sample_is_the_same_every_time_and_about_as_large_as_asked_for() -> None:
    found = stored(spec_of())
    scan = scanned(spec_of(), found, share=0.1)
    assert 90 < scan.compared < 190
    assert scanned(spec_of(), found[::-1], share=0.1).compared == scan.compared
    changed = [{**each, "user_id": "somebody else"} for each in found]
    assert scanned(spec_of(), changed, share=0.1).differing == scan.compared


def test_an_empty_collection_holds_no_document() -> None:
    scan = scanned(spec_of(), [])
    assert (scan.total, scan.compared, int(scan.count_per_event.sum())) == (0, 0, 0)


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 99, 100, 101, 1001])
def test_an_array_is_cut_into_its_documents(number: int) -> None:
    made = [{"a": "x" * each} for each in range(number)]
    batch = batch_of(made)
    assert [bson.decode(batch.documents[start:end]) for start, end in pairwise(batch.starts.tolist())] == made


def test_an_array_of_anything_else_is_refused() -> None:
    with pytest.raises(InvalidBSON, match="3 bytes"):
        rawcursor.cut(bson.encode({"0": 3}))


@pytest.mark.parametrize("array_first", ["yes", ""])
def test_array_and_cursor_are_found_in_a_reply_wherever_they_stand(array_first: str) -> None:
    array = {"nextBatch": [{"id": 3}]}
    others = {"partialResultsReturned": True, "id": bson.Int64(7), "ns": "a.b", "more": {"id": bson.Int64(8)}}
    cursor = {**array, **others} if array_first else {**others, **array}
    reply = rawcursor._read(bson.encode({"cursor": cursor, "ok": 1.0}))
    assert reply.cursor == 7
    assert bson.decode(rawcursor.cut(reply.array).documents) == {"id": 3}


def test_the_expected_documents_in_bson_are_those_compared_field_by_field() -> None:
    """All that the table has, and once around: the two are written apart."""
    spec = spec_of()
    wanted = Expected(offered(spec), spec, MongoDocuments.templates)
    made, lengths = wanted.encoded(np.arange(1400))
    assert int(lengths.sum()) == len(made)
    ends = np.cumsum(lengths).tolist()
    for index, (start, end) in enumerate(pairwise([0, *ends])):
        document = wanted.event(index)
        assert made[start:end] == bson.encode(
            {
                **(fields := expected_document(document)),
                "_id": ObjectId(fields["_id"]),
                "timestamp": DatetimeMS(fields["timestamp"]),
            }
        )
