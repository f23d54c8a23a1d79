"""What a staircase of loads comes to, what a calibration depends on, and the server that it is made against."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.cells.bounds import Bounds
from bench.evidence.offered import ROW, Offered
from bench.load import calibration, nullsink
from bench.load.calibration import Offering
from bench.observe.environment import Environment, Hardware
from bench.observe.processes import Usage
from bench.observe.sampling import ROLES, Machine, Sample
from bench.witness.post import post
from bundle.calibration import Calibration
from bundle.result import Disturbance
from traffic.answer import answer_of
from traffic.ledger import Outcome
from traffic.spec import Traffic

MS, S = 1_000_000, 1_000_000_000
STAIRS = calibration._STAIRS
TOP = 1_000.0 * STAIRS
HERE = Environment({"locust": "2", "pandas": "3"}, Hardware("a processor", 2, 8 << 30), "Linux", "abc", git_dirty=False)


def offering(
    late_ms: Sequence[float] = (), shares: Sequence[float] = (), outcomes: Sequence[Outcome] = (), others: float = 0.0
) -> Offering:
    """Stairs of 100 requests of 10 events; those left out are 1 ms late, use 10% of a core, and all is accepted."""
    late = [*late_ms, *[1.0] * (STAIRS - len(late_ms))]
    used = [*shares, *[0.1] * (STAIRS - len(shares))]
    ends = [*outcomes, *[Outcome.ACCEPTED] * (STAIRS - len(outcomes))]
    rows = np.zeros(STAIRS * 100, dtype=ROW)
    rows["count"], rows["first"] = 10, np.arange(len(rows)) * 10
    rows["intended"] = np.arange(len(rows)) * 10 * MS
    rows["outcome"][99::100] = ends  # of a stair's last request
    sent = rows["intended"] + np.repeat(np.round(np.array(late) * MS).astype(np.int64), 100)
    rows["sent"] = np.where(rows["outcome"] == Outcome.UNSENT, -1, sent)
    rows["answered"] = np.where(rows["outcome"] == Outcome.ACCEPTED, rows["sent"] + MS, -1)
    base, counts = np.full(4096, -1, dtype=np.int64), np.zeros(4096, dtype=np.int64)
    base[0], counts[0] = 0, len(rows) * 10
    of_event = np.repeat(np.arange(len(rows), dtype=np.int32), 10)
    offered = Offered(0, 5 * S, 0, rows, (0,), base, counts, of_event, complete=True)
    at_ns = 5 * S + np.arange(STAIRS + 1, dtype=np.int64) * S
    usage = {role: Usage() for role in ROLES}
    busy_s = others * (os.cpu_count() or 1)
    samples = [Sample(int(at), 0, usage, {}, Machine(number * busy_s)) for number, at in enumerate(at_ns)]
    return Offering(offered, at_ns, np.cumsum([0.0, *used]), samples)


def concluded(seen: Offering) -> Calibration:
    return calibration.conclude(seen, TOP, Bounds(), "print", 20.0)


def test_the_highest_stair_that_keeps_all_bounds_is_what_the_generator_can_do() -> None:
    found = concluded(offering(shares=[0.099 * number for number in range(1, STAIRS + 1)]))
    assert [each.holds for each in found.stairs] == [True] * 8 + [False] * 2
    assert (found.highest_events_per_s, found.beyond) == (8_000.0, False)
    assert found.cpu_s_per_100k_events == pytest.approx(79.2)
    assert found.stairs[7].requests_per_s == 100
    assert "up to 8,000 events/s" in calibration.describe(found)


@pytest.mark.parametrize(
    ("seen", "highest"),
    [
        (offering(late_ms=[1.0] * 6 + [10.5] * 4), 6_000.0),
        (offering(outcomes=[Outcome.ACCEPTED] * 6 + [Outcome.UNSENT] * 4), 6_000.0),
        (offering(outcomes=[Outcome.ACCEPTED] * 6 + [Outcome.IN_DOUBT] * 4), 6_000.0),
        (offering(late_ms=[99.0]), 10_000.0),
        (offering(late_ms=[1.0, 1.0, 99.0, 1.0, 1.0] + [99.0] * 5), 5_000.0),
        (offering(late_ms=[1.0, 1.0, 99.0, 1.0, 99.0, 1.0] + [99.0] * 4), 2_000.0),
        (offering(late_ms=[99.0] * STAIRS), None),
    ],
)
def test_a_disturbed_stair_hides_nothing_above_it_and_a_lucky_one_counts_for_nothing(
    seen: Offering, highest: float | None
) -> None:
    assert concluded(seen).highest_events_per_s == highest


def test_where_every_stair_holds_the_generator_can_do_at_least_that() -> None:
    found = concluded(offering())
    assert (found.highest_events_per_s, found.beyond) == (TOP, True)
    assert "at least" in calibration.describe(found)


def test_a_calibration_beside_other_programs_is_made_anew_after_an_hour(tmp_path: Path) -> None:
    quiet, beside = concluded(offering(others=0.2)), concluded(offering(others=0.3))
    for found, later in ((quiet, quiet), (beside, None)):
        calibration.keep(tmp_path, found)
        assert calibration.kept(tmp_path, "print", Bounds()) == found
        two_hours_ago_s = time.time() - 7_200
        os.utime(tmp_path / "calibration" / "print.json", (two_hours_ago_s, two_hours_ago_s))
        assert calibration.kept(tmp_path, "print", Bounds()) == later


def test_only_what_affects_the_generator_changes_the_fingerprint() -> None:
    def fingerprint_of(here: Environment = HERE, traffic: Traffic | None = None, bounds: Bounds | None = None) -> str:
        return calibration.fingerprint(here, traffic or Traffic(), bounds or Bounds())

    changed = msgspec.structs.replace
    same = fingerprint_of()
    assert fingerprint_of(changed(HERE, git_revision="def", git_dirty=True)) == same
    assert fingerprint_of(changed(HERE, versions={"locust": "2", "pandas": "4"})) == same
    assert fingerprint_of(bounds=Bounds(drain_timeout_s=5)) == same
    others = [
        fingerprint_of(changed(HERE, versions={"locust": "3", "pandas": "3"})),
        fingerprint_of(changed(HERE, kernel="Linux, newer")),
        fingerprint_of(changed(HERE, hardware=Hardware("a processor", 4, 8 << 30))),
        fingerprint_of(traffic=Traffic(payload_bytes=1024)),
        fingerprint_of(bounds=Bounds(generator_cpu_share=0.5)),
    ]
    assert len({same, *others}) == 6


def test_the_fingerprint_follows_the_generator_s_code(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "loadtest").mkdir()
    code = tmp_path / "loadtest" / "a.py"
    code.write_text("1")
    monkeypatch.setattr(calibration, "_ROOT", tmp_path)
    before = calibration.fingerprint(HERE, Traffic(), Bounds())
    code.write_text("2")
    assert calibration.fingerprint(HERE, Traffic(), Bounds()) != before


def test_what_is_kept_is_found_again_under_its_fingerprint_alone(tmp_path: Path) -> None:
    found = msgspec.structs.replace(concluded(offering()), disturbance=Disturbance(0.01, 0.0))
    assert calibration.kept(tmp_path, "print", Bounds()) is None
    calibration.keep(tmp_path, found)
    assert calibration.kept(tmp_path, "print", Bounds()) == found
    assert calibration.kept(tmp_path, "another", Bounds()) is None
    (tmp_path / "calibration" / "print.json").write_text("{")
    assert calibration.kept(tmp_path, "print", Bounds()) is None


async def test_the_null_sink_answers_as_the_api_does_however_requests_are_cut() -> None:
    server = await asyncio.get_running_loop().create_server(nullsink.NullSinkConnection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        single = await post(f"http://127.0.0.1:{port}", "/track", b'{"event_id":"1"}', 5.0)
        assert (single.status, single.content_bytes) == (200, len(b'{"status":"ok"}'))
        body = b'{"events":[' + b",".join([b'{"event_id":"1"}'] * 300) + b"]}"
        head = b"POST /track/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = (head + body) * 2
        for at in range(0, len(sent), 1_000):
            writer.write(sent[at : at + 1_000])
            await asyncio.sleep(0)
        for _ in range(2):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            answered = await reader.readuntil(b"}")
            assert answered == b'{"status":"ok","accepted":300,"rejected":[]}'
            assert answer_of(200, answered, batch=True).refused == ()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""  # no length, no answer
        writer.close()
    finally:
        server.close()
