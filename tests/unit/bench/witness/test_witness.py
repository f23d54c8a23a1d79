"""The witness's events: part of the audit, of none of the load's figures, and compared with the deliveries log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.evidence import offered, sightings
from bench.evidence.documents import Documents
from bench.evidence.evidence import Evidence, Happened
from bench.evidence.expected import Expected, expected_document
from bench.evidence.leftovers import Leftovers
from bench.evidence.mongodocuments import MongoDocuments
from bench.judge import agreement, audit, causality, derive
from bench.witness.post import post
from bundle.result import Result, WitnessAgreement
from tests.unit.bench.judge.stamps import LOAD, MS, WITNESS, S, evidence_of
from traffic import identity, ledger
from traffic.identity import WITNESS_STREAM
from traffic.ledger import LedgerHead, LedgerWriter, Outcome
from traffic.spec import LoadSpec

SPEC = LoadSpec(duration_s=10.0, run=77)
STEADY = CellSpec(id="steady-p1-c1", kind="steady", warmup_s=1, duration_s=5, offered_load=100.0)


def judged(evidence: Evidence) -> Result:
    identity = derive.RepeatIdentity(STEADY, 1, 1, 3, "2026-11-22T10:00:00Z", 100.0)
    happened = Happened(crashes=(), generator_exit_code=0, drained=True, duration_s={})
    return derive.result_of(identity, evidence, happened, Bounds(), Objective())


def compared(evidence: Evidence, start_ns: int = S, end_ns: int = 6 * S) -> tuple[WitnessAgreement, list[str]]:
    verdict = agreement.check(evidence, causality.stamps(evidence), (start_ns, end_ns), Bounds())
    assert verdict.compared is not None
    return verdict.compared, list(verdict.reasons)


def write_ledgers(folder: Path, load: int, witness: int, *, stopped_ns: int | None = None) -> None:
    for stream, events in ((0, load), (WITNESS_STREAM, witness)):
        writer = LedgerWriter(ledger.path_of(folder, stream), LedgerHead(SPEC, stream, 1, 1_000, 2_000, 1))
        for sequence in range(events):
            writer.record(sequence, 1, sequence, sequence + 1, sequence + 2, Outcome.ACCEPTED)
        writer.close(events, stopped_ns)


def test_the_load_is_what_remains_without_the_witness_s_stream(tmp_path: Path) -> None:
    write_ledgers(tmp_path, 6, 3)
    audited = offered.load(tmp_path)
    of_load = audited.of_load()
    assert (audited.events, of_load.events) == (9, 6)
    assert audited.complete
    ids = np.array([identity.id_low(identity.pack(77, stream, 2)) for stream in (0, WITNESS_STREAM)], dtype=np.uint64)
    assert audited.index_of(ids).tolist() == [2, 8]
    assert of_load.index_of(ids).tolist() == [2, -1]
    assert (of_load.streams, of_load.of_load()) == ((0,), of_load)


def test_a_lost_event_of_the_witness_is_a_loss(tmp_path: Path) -> None:
    write_ledgers(tmp_path, 6, 3)
    evidence = evidence_of()
    counts = np.ones(9, dtype=np.int64)
    counts[7] = 0
    nothing = Leftovers(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64))
    documents = Documents(counts, 8, 0, 8, 0, ())
    verdict = audit.account(offered.load(tmp_path), 9, evidence.deliveries, documents, nothing)
    assert (verdict.audit.offered, verdict.audit.accepted, verdict.audit.lost) == (9, 9, 1)
    assert f"stream/sequence {WITNESS_STREAM}/1" in verdict.findings[0]


def test_the_witness_s_events_are_audited_and_in_no_figure_of_the_load() -> None:
    result = judged(evidence_of())
    assert result.audit.offered == result.audit.stored_accepted == LOAD + WITNESS
    assert result.requests == 500  # of the window
    assert (result.throughput_events_per_s, result.achieved) == (100.0, 1.0)
    slow = evidence_of()
    slow.audited.rows["answered"][LOAD:] += 300 * MS  # the witness's own stamps: its rows come last
    assert judged(slow).response_time_ms == result.response_time_ms


def test_an_event_of_the_witness_appears_under_the_id_that_the_pipeline_gives_it() -> None:
    unix_ms = 1_700_000_000_123
    event = sightings.content_of(SPEC).event(WITNESS_STREAM, 9, unix_ms)
    assert event["props"]["tidemark"] == identity.pack(77, WITNESS_STREAM, 9)
    assert sightings.document_id(77, 9, unix_ms).hex() == expected_document(event)["_id"]


def test_what_a_document_of_the_witness_must_say_is_made_from_the_witness_s_own_table(tmp_path: Path) -> None:
    write_ledgers(tmp_path, 6, 3)
    expected = Expected(offered.load(tmp_path), SPEC, MongoDocuments.templates)
    assert expected.event(8) == sightings.content_of(SPEC).event(WITNESS_STREAM, 2, 0)
    assert expected.event(2)["props"]["tidemark"] == identity.pack(77, 0, 2)


def test_the_witness_s_schedule_is_seeded_and_has_one_event_in_each_quarter_of_a_second() -> None:
    due = sightings.due_ns(SPEC)
    assert (due // (S // 4)).tolist() == list(range(40))
    assert (due == sightings.due_ns(SPEC)).all()
    assert (due != sightings.due_ns(LoadSpec(duration_s=10.0, seed=2))).any()


def test_sightings_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert len(sightings.load(tmp_path)) == 0
    writer = sightings.SightingsWriter(tmp_path)
    writer.sighting(1, 20, 30)
    writer.sighting(0, ledger.NO_TIME, 25)
    writer.close()
    assert sightings.load(tmp_path).tolist() == [(1, 20, 30), (0, -1, 25)]


def test_a_load_that_is_stopped_shortens_what_the_witness_was_due_to_offer(tmp_path: Path) -> None:
    write_ledgers(tmp_path, 6, 8, stopped_ns=2 * S)
    audited = offered.load(tmp_path)
    assert sightings.scheduled(SPEC, audited) == 8
    assert sightings.scheduled(SPEC, replace(audited, stopped_ns=(2 * S, None))) == 40
    assert audited.of_load().stopped_ns == (2 * S,)


def test_latencies_by_the_witness_and_by_the_log_are_reported_with_the_resolution() -> None:
    found, reasons = compared(evidence_of())
    assert reasons == []
    assert found.events == 20
    assert (found.seen_p50_ms, found.logged_p50_ms, found.resolution_ms) == (27.0, 21.0, 11.0)


def test_an_event_read_before_its_acknowledgement_and_after_its_fetch_is_agreement() -> None:
    """A large write becomes visible bit by bit."""
    evidence = evidence_of(write_ms=400)
    few = evidence.witness.sightings[::3]
    few["seen_ns"] -= 300 * MS
    few["missed_ns"] -= 300 * MS
    found, _ = compared(evidence)
    assert (found.disagreeing, found.beyond_max_ms) == (0, 0.0)
    assert judged(evidence).valid


@pytest.mark.parametrize(("later_ms", "disagreeing"), [(4, 0), (20, 20)])
def test_the_tolerance_is_what_counts_as_disagreement(later_ms: int, disagreeing: int) -> None:
    """An event is missed for the last time 5 ms before its acknowledgement."""
    evidence = evidence_of()
    evidence.witness.sightings["missed_ns"] += (5 + later_ms) * MS
    found, _ = compared(evidence)
    assert (found.disagreeing, found.beyond_max_ms) == (disagreeing, float(later_ms))


@pytest.mark.parametrize(("late_ms", "valid"), [(5, True), (50, False), (500, False)])
def test_acknowledgements_that_are_stamped_too_late_are_seen_in_the_median(late_ms: int, valid: bool) -> None:  # noqa: FBT001 - an example
    """A fetch that is stamped rightly keeps each event's spans together."""
    evidence = evidence_of()
    evidence.deliveries.rows["acknowledged_ns"] += late_ms * MS
    result = judged(evidence)
    assert (result.valid, result.negative_durations) == (valid, {})
    assert result.witness.disagreeing == 0
    if not valid:
        (reason,) = result.reasons
        assert "half of 20 events were read" in reason
        assert result.bounds_measured["witness_tolerance_ms"] > 10


def test_an_event_that_is_never_read_though_it_was_acknowledged_is_a_disagreement() -> None:
    evidence = evidence_of()
    evidence.witness.sightings["seen_ns"][10] = ledger.NO_TIME
    evidence.witness.sightings["missed_ns"][10] = 30 * S
    result = judged(evidence)
    assert result.negative_durations == {"missed_to_acknowledged": 1}
    assert "not found by a poll of the witness" in result.reasons[0]


def test_a_witness_that_saw_too_little_voids_the_repeat() -> None:
    evidence = evidence_of()
    few = evidence.witness.sightings[:8]
    found, reasons = compared(replace(evidence, witness=replace(evidence.witness, sightings=few, exit_code=-9)))
    assert found.events == 4
    assert "ended with exit code -9" in reasons[0]
    assert reasons[1].startswith("witness: only 4 events compared of 20 that were stored")


def test_a_window_that_is_too_short_voids_nothing() -> None:
    found, reasons = compared(evidence_of(), S, 2 * S)
    assert (found.events, reasons) == (4, [])


def test_a_system_that_refuses_everything_leaves_nothing_to_witness_and_that_voids_nothing() -> None:
    evidence = evidence_of()
    evidence.audited.rows["outcome"][LOAD:] = Outcome.REJECTED
    nothing = evidence.witness.sightings[:0]
    found, reasons = compared(replace(evidence, witness=replace(evidence.witness, sightings=nothing)))
    assert (found.events, reasons) == (0, [])
    assert found.seen_p50_ms is None


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def posted(handle: Handler, timeout_s: float = 5.0) -> tuple[int, str]:
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await post(f"http://127.0.0.1:{port}", "/track", b"{}", timeout_s)
    return answer.status, answer.error


async def test_a_post_gives_the_status_of_its_answer() -> None:
    received = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n"), await reader.readexactly(2)))
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    assert await posted(handle) == (503, "")
    ((head, body),) = received
    assert head.startswith(b"POST /track HTTP/1.1\r\nHost: 127.0.0.1:")
    assert (b"Content-Length: 2\r\n" in head, body) == (True, b"{}")


@pytest.mark.parametrize(
    ("answer", "said"), [(b"", "IncompleteReadError"), (b"HTTP/1.1 nonsense\r\n\r\n", "ValueError")]
)
async def test_a_response_that_is_not_http_has_status_0(answer: bytes, said: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(answer)
        writer.close()

    assert await posted(handle) == (0, f"no answer: {said}")


async def test_an_answer_that_does_not_come_in_time_is_none() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client gives up
        writer.close()

    assert await posted(handle, 0.05) == (0, "no answer within 0.05 s")
