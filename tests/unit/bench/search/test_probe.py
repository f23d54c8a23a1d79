"""A probe: how long its load lasts, and what its evidence says of the load."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import kinds
from bench.evidence.deliveries import DELIVERY, Deliveries, consumer
from bench.evidence.documents import Documents
from bench.evidence.evidence import Backlog, Evidence
from bench.evidence.leftovers import Leftovers
from bench.evidence.offered import ROW, Offered
from bench.judge.audit import account as audited
from bench.kinds.capacity import CapacityCell, judge_probe
from bench.observe.sampling import ClockSamples
from bench.search import probe
from bench.search.forecast import RunningCounts
from bench.search.probe import ProbeWatch
from bundle.result import Sustained, Window
from tests.unit.identities import id_low_array
from traffic.ledger import Outcome

S = 1_000_000_000
CELL = CapacityCell(id="capacity-p1-c1", warmup_s=2.0, duration_s=12.0)
LOAD = 1_000.0
WINDOW = Window(2.0, 14.0)
NONE = np.zeros(0, dtype=np.uint64)


def evidence_of(stored_per_s: float) -> Evidence:
    """1,000 single events a second for 30 s, each answered at once; stored in order at ``stored_per_s``."""
    count = 30_000
    rows = np.zeros(count, dtype=ROW)
    rows["first"], rows["count"], rows["outcome"] = np.arange(count), 1, Outcome.ACCEPTED
    rows["intended"] = (np.arange(count) * (S / LOAD)).astype(np.int64)
    rows["sent"] = rows["answered"] = rows["intended"]
    base, counts = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    base[0], counts[0] = 0, count
    delivered = np.zeros(count, dtype=DELIVERY)
    delivered["id_low"] = id_low_array(3, 0, 0, count)
    stored_ns = np.maximum(rows["answered"], (np.arange(count) * (S / stored_per_s)).astype(np.int64))
    delivered["fetched_ns"] = delivered["acknowledged_ns"] = stored_ns
    return Evidence(
        offered=Offered(3, 0, 0, rows, (0,), base, counts, np.arange(count, dtype=np.int32), complete=True),
        scheduled=count,
        deliveries=Deliveries(delivered, (consumer("worker-1", {}, count),)),
        documents=Documents(np.ones(count, dtype=np.int64), count, 0, count, 0, ()),
        leftovers=Leftovers(NONE, NONE),
        clock=ClockSamples(np.array([0], dtype=np.int64), np.array([0], dtype=np.int64)),
        samples=(),
        backlog=Backlog(np.array([0], dtype=np.int64), np.array([0], dtype=np.int64)),
    )


def seen(stored_per_s: float, until_s: int) -> list[RunningCounts]:
    return [RunningCounts(float(second), second * 1_000, round(second * stored_per_s)) for second in range(until_s + 1)]


def kept_up(stored_per_s: float) -> Sustained | None:
    return probe.keeping_up(WINDOW, evidence_of(stored_per_s))


def test_one_late_batch_at_the_end_of_a_short_window_is_not_a_deficit() -> None:
    """Batches of 150 are stored 20 ms after their last event; the last one of a window of 6 s comes 85 ms late."""
    evidence, window = evidence_of(5_000.0), Window(2.0, 8.0)
    rows = evidence.deliveries.rows
    answered_ns = evidence.offered.rows["answered"]
    batch = (np.arange(len(rows)) - 7_970) // 150  # one ends 30 ms before the window begins, one 30 ms before its end
    stored_ns = np.maximum.reduceat(answered_ns, np.flatnonzero(np.r_[True, np.diff(batch) > 0]))[batch - batch[0]]
    rows["acknowledged_ns"] = stored_ns + 20_000_000 + np.where(batch == batch[7_969], 85_000_000, 0)
    inside = (rows["acknowledged_ns"] >= 2 * S) & (rows["acknowledged_ns"] < 8 * S)
    assert np.count_nonzero(inside) / 6_000 < 0.98  # the ratio at the edges says that it did not keep up
    judged = probe.keeping_up(window, evidence)
    assert judged is not None
    assert judged.verdict == "sustained"


@pytest.mark.parametrize(
    ("stored_per_s", "verdict", "holds"), [(5_000.0, "sustained", True), (900.0, "not sustained", False)]
)
def test_a_probe_is_judged_by_its_growing_backlog(stored_per_s: float, verdict: str, *, holds: bool) -> None:
    judged = judge_probe(CELL, "climb", WINDOW, kept_up(stored_per_s), (), (), "")
    assert (judged.verdict, judged.holds, judged.step) == (verdict, holds, "climb")
    assert judged.allowed_events_per_s == pytest.approx(0.02 * LOAD)
    assert judged.deficit_events_per_s == pytest.approx(LOAD - min(LOAD, stored_per_s), abs=1)
    assert bool(judged.why) is not holds


def test_a_missed_objective_or_finding_decides_a_probe_and_one_that_cannot_be_shown_does_not() -> None:
    fine = kept_up(5_000.0)
    against = judge_probe(CELL, "climb", WINDOW, fine, ["3 events rejected"], (), "")
    assert (against.verdict, against.holds, against.why) == ("not sustained", False, ("3 events rejected",))
    open_one = judge_probe(CELL, "climb", WINDOW, fine, (), ["objective not shown"], "")
    assert (open_one.verdict, open_one.why) == ("undetermined", ("objective not shown",))
    stopped = judge_probe(CELL, "climb", WINDOW, fine, (), (), "the backlog would have grown")
    assert (stopped.verdict, stopped.stopped_early) == ("not sustained", True)
    assert stopped.why == ("stopped early: the backlog would have grown",)


def test_an_extension_is_stated_in_seconds() -> None:
    judged = judge_probe(CELL, "climb", Window(2.0, 20.0), kept_up(5_000.0), (), (), "")
    assert judged.extended_s == pytest.approx(6.0)


def test_a_window_too_short_to_be_judged_is_undetermined() -> None:
    short = Window(2.0, 5.0)
    judged = judge_probe(CELL, "climb", short, probe.keeping_up(short, evidence_of(5_000.0)), (), (), "")
    assert (judged.verdict, judged.holds) == ("undetermined", False)
    assert any("too short" in why for why in judged.why)


def test_a_load_that_is_kept_up_with_ends_when_its_time_is_over() -> None:
    watch = ProbeWatch(CELL, LOAD, 1_000.0)
    assert not watch.is_over(seen(1_000, 13))
    assert watch.is_over(seen(1_000, 15))
    assert watch.lost == ""


def test_a_load_that_is_clearly_lost_is_stopped_early_and_says_why() -> None:
    watch = ProbeWatch(CELL, LOAD, 1_000.0)
    assert not watch.is_over(seen(500, 8))  # three blocks are watched, whatever they show
    assert watch.is_over(seen(500, 10))
    assert watch.lost


def test_a_load_between_is_watched_longer_but_not_for_ever() -> None:
    watch = ProbeWatch(CELL, LOAD, None)
    piling = [
        RunningCounts(float(second), second * 1_000, round(second * 980 + 80 * np.sin(second))) for second in range(30)
    ]
    assert not watch.is_over(piling[:16])
    settled = [
        *piling[:16],
        *(RunningCounts(float(second), second * 1_000, second * 1_000) for second in range(16, 24)),
    ]
    assert not watch.is_over(settled)  # it is not asked again and again until it is clear
    assert watch.is_over(piling[:28])
    assert kinds.named(CELL.kind).load_s(CELL) == 26.0


def test_events_in_a_probe_are_audited_as_anywhere() -> None:
    evidence = replace(evidence_of(5_000.0), documents=Documents(np.r_[0, np.ones(29_999)], 29_999, 0, 1, 0, ()))
    verdict = audited(evidence.offered, evidence.scheduled, evidence.deliveries, evidence.documents, evidence.leftovers)
    assert verdict.audit.lost == 1
