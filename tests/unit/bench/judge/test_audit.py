"""The audit on small evidence, written by the real writers: each thing that can go wrong is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.evidence import deliveries, offered
from bench.evidence.documents import Documents
from bench.evidence.expected import expected_document
from bench.evidence.leftovers import Leftovers
from bench.judge import audit
from bench.recorder import deliverieslog as log
from bundle.errors import BundleError
from pipeline.messages.skipped import Missed
from traffic import identity, ledger
from traffic.content import Content
from traffic.ledger import LedgerHead, LedgerWriter, Outcome
from traffic.recordlog import RecordLogWriter
from traffic.spec import LoadSpec, Traffic

RUN = 77
SPEC = LoadSpec(run=RUN)
NONE = np.zeros(0, dtype=np.uint64)


def ids(*sequences: int) -> np.ndarray:
    return np.array([identity.id_low(identity.pack(RUN, 0, each)) for each in sequences], dtype=np.uint64)


def write_ledger(folder: Path, rows: list[tuple[int, int, Outcome]], *, closed: bool = True) -> None:
    writer = LedgerWriter(ledger.path_of(folder, 0), LedgerHead(SPEC, 0, 1, 1_000, 2_000, 1))
    for first, count, outcome in rows:
        writer.record(first, count, first, first + 1, first + 2, outcome)
    if closed:
        writer.close(sum(count for _, count, _ in rows))
    else:
        writer.flush()


def write_deliveries(path: Path, *batches: list[int]) -> None:
    writer = RecordLogWriter(path)
    writer.append(log.ASSIGNMENT, log.ASSIGNMENT_HEADER.pack(5), b'{"events_page_view":[0,1]}')
    for batch in batches:
        payload = b"".join(log.EVENT.pack(int(each), 3) for each in ids(*batch))
        writer.append(log.EVENTS, log.EVENTS_HEADER.pack(10, 20), payload)
    writer.close()


def documents(counts: list[int], **changes: object) -> Documents:
    array = np.array(counts, dtype=np.int64)
    return replace(Documents(array, sum(counts), 0, sum(counts), 0, ()), **changes)


@pytest.fixture
def ten(tmp_path: Path) -> tuple[offered.Offered, deliveries.Deliveries]:
    """Ten accepted events, each delivered once."""
    write_ledger(tmp_path, [(0, 4, Outcome.ACCEPTED), (4, 6, Outcome.ACCEPTED)])
    write_deliveries(tmp_path / "worker-1.log", [0, 1, 2, 3], [4, 5, 6, 7, 8, 9])
    paths = [tmp_path / "worker-1.log"]
    return offered.load(tmp_path), deliveries.load(paths, [deliveries.assignment(each) for each in paths])


def test_a_clean_repeat_is_valid_and_without_findings(ten) -> None:
    verdict = audit.account(ten[0], 10, ten[1], documents([1] * 10), Leftovers(NONE, NONE))
    assert (verdict.reasons, verdict.findings) == ((), ())
    assert (verdict.audit.stored_accepted, verdict.audit.lost) == (10, 0)
    assert verdict.audit.offered_adds_up
    assert verdict.audit.accepted_adds_up


def test_an_accepted_event_without_a_document_is_lost_and_named(ten) -> None:
    verdict = audit.account(ten[0], 10, ten[1], documents([1, 1, 0] + [1] * 7), Leftovers(NONE, NONE))
    assert verdict.audit.lost == 1
    assert verdict.audit.accepted_adds_up
    assert "lost (stream/sequence 0/2)" in verdict.findings[0]


def test_lost_events_come_with_what_kafka_deleted_unread(ten) -> None:
    gap = Missed("events_page_view", 0, 15, 5, 19)
    verdict = audit.account(ten[0], 10, ten[1], documents([0] + [1] * 9), Leftovers(NONE, NONE, (gap.words(),)))
    words = "15 records of events_page_view, partition 0, offsets 5 to 19 were deleted before a worker read them"
    assert words in verdict.findings[0]


def test_a_second_document_for_an_event_is_stored_twice(ten) -> None:
    verdict = audit.account(ten[0], 10, ten[1], documents([1, 2] + [1] * 8), Leftovers(NONE, NONE))
    assert verdict.audit.stored_twice == 1
    assert any("stored twice" in each for each in verdict.findings)


def test_foreign_and_differing_documents_are_findings(ten) -> None:
    found = documents([1] * 10, foreign=2, differing=1, strangers=("a1", "b2"))
    verdict = audit.account(ten[0], 10, ten[1], found, Leftovers(NONE, NONE))
    assert [each.split()[0] for each in verdict.findings] == ["2", "1"]
    assert verdict.audit.foreign == 2
    assert verdict.findings[0].endswith("(_id a1, b2)")


def test_dead_lettered_and_undrained_events_are_not_lost_but_found(ten) -> None:
    found = documents([0, 0] + [1] * 8)
    verdict = audit.account(ten[0], 10, ten[1], found, Leftovers(ids(0), ids(1)))
    assert (verdict.audit.dead_lettered, verdict.audit.undrained, verdict.audit.lost) == (1, 1, 0)
    assert verdict.audit.accepted_adds_up
    assert len(verdict.findings) == 2


def test_delivered_twice_is_counted_and_allowed(tmp_path: Path) -> None:
    write_ledger(tmp_path, [(0, 3, Outcome.ACCEPTED)])
    write_deliveries(tmp_path / "worker-1.log", [0, 1, 2], [1, 2])
    delivered = deliveries.load([tmp_path / "worker-1.log"], [None])
    verdict = audit.account(offered.load(tmp_path), 3, delivered, documents([1] * 3), Leftovers(NONE, NONE))
    assert verdict.audit.delivered_twice == 2
    assert verdict.findings == ()


def test_events_that_were_not_accepted_are_counted_separately(tmp_path: Path) -> None:
    outcomes = [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.UNSENT]
    write_ledger(tmp_path, [(place, 1, each) for place, each in enumerate(outcomes)])
    write_deliveries(tmp_path / "worker-1.log", [0, 1, 3])
    delivered = deliveries.load([tmp_path / "worker-1.log"], [None])
    found = documents([1, 1, 0, 1, 1])
    verdict = audit.account(offered.load(tmp_path), 5, delivered, found, Leftovers(NONE, NONE))
    got = verdict.audit
    assert (got.accepted, got.rejected, got.in_doubt, got.unsent) == (1, 2, 1, 1)
    assert (got.stored, got.stored_rejected, got.stored_in_doubt, got.lost) == (3, 1, 1, 0)
    assert got.foreign == 1  # the document of the event that was never sent
    assert any("foreign" in each and each.endswith("(stream/sequence 0/4)") for each in verdict.findings)


def test_a_ledger_with_fewer_events_than_scheduled_voids_the_repeat(ten) -> None:
    verdict = audit.account(ten[0], 11, ten[1], documents([1] * 10), Leftovers(NONE, NONE))
    assert any("schedule intends 11" in each for each in verdict.reasons)


def test_a_stored_event_in_no_deliveries_log_voids_the_repeat(tmp_path: Path) -> None:
    write_ledger(tmp_path, [(0, 2, Outcome.ACCEPTED)])
    write_deliveries(tmp_path / "worker-1.log", [0])
    delivered = deliveries.load([tmp_path / "worker-1.log"], [None])
    verdict = audit.account(offered.load(tmp_path), 2, delivered, documents([1, 1]), Leftovers(NONE, NONE))
    assert any("no deliveries log" in each for each in verdict.reasons)


def test_an_unclosed_ledger_voids_the_repeat(tmp_path: Path) -> None:
    write_ledger(tmp_path, [(0, 2, Outcome.ACCEPTED)], closed=False)
    write_deliveries(tmp_path / "worker-1.log", [0, 1])
    delivered = deliveries.load([tmp_path / "worker-1.log"], [None])
    verdict = audit.account(offered.load(tmp_path), 2, delivered, documents([1, 1]), Leftovers(NONE, NONE))
    assert any("did not close its ledger" in each for each in verdict.reasons)


def test_a_ledger_with_a_gap_is_refused(tmp_path: Path) -> None:
    write_ledger(tmp_path, [(0, 2, Outcome.ACCEPTED), (3, 2, Outcome.ACCEPTED)])
    with pytest.raises(BundleError, match="sequence 3"):
        offered.load(tmp_path)


def test_ids_of_other_runs_and_beyond_the_ledger_are_no_events_of_this_one(ten) -> None:
    other_run = identity.id_low(identity.pack(RUN + 1, 0, 0))
    other_stream = identity.id_low(identity.pack(RUN, 5, 0))
    beyond = identity.id_low(identity.pack(RUN, 0, 10))
    asked = np.array([other_run, other_stream, beyond, 0, int(ids(9)[0])], dtype=np.uint64)
    assert ten[0].index_of(asked).tolist() == [-1, -1, -1, -1, 9]


def test_the_expected_document_is_that_of_the_seed() -> None:
    event = Content(Traffic(), 1, RUN).event(3, 12, 1_700_000_000_123)
    event["props"]["ref"] = "google"
    document = expected_document(event)
    assert list(document) == ["_id", "event_type", "user_id", "props", "timestamp"]
    assert document["timestamp"] == 1_700_000_000_123
    assert document["props"]["referrer"] == "google"
    assert "ref" not in document["props"]
    low = identity.id_low(identity.pack(RUN, 3, 12))
    assert document["_id"] == ((1_700_000_000).to_bytes(4, "big") + low.to_bytes(8, "big")).hex()


def test_events_missing_from_an_incomplete_ledger_are_not_findings(tmp_path: Path) -> None:
    """The generator was killed: its last events are stored, and nothing says that they were sent."""
    write_ledger(tmp_path, [(0, 4, Outcome.ACCEPTED)], closed=False)
    write_deliveries(tmp_path / "worker-1.log", [0, 1, 2, 3])
    path = tmp_path / "worker-1.log"
    found = documents([1] * 4, foreign=26, strangers=("a1",))
    logs = deliveries.load([path], [deliveries.assignment(path)])
    verdict = audit.account(offered.load(tmp_path), 30, logs, found, Leftovers(NONE, NONE))
    assert verdict.findings == ()
    assert verdict.audit.foreign == 26
    assert any("did not close its ledger: 26 documents belong to no event in it" in each for each in verdict.reasons)
