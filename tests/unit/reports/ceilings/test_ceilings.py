"""What share of its ceiling a cell reached, what an event costs, and the bound that this implies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bundle import reading
from bundle.ceilings import Ceilings
from bundle.errors import SchemaVersionError
from bundle.manifest import CellPlan
from reports import formats
from reports.answer import verdict
from reports.ceilings import bare, shares
from reports.cells import cells
from reports.page import summary
from reports.sections import ceilings as section
from reports.tables import ceilings as tables
from tests.unit.reports.made_bundle import Cell, Plan, write

CONDITIONS = {
    "payload_bytes": 256,
    "visitor_share": 0.1,
    "partitions": 4,
    "write_concern": "majority",
    "journal": True,
    "driver": "motor",
    "acks": "all",
    "compression": "none",
}
LOOPS = {
    "insert-1": (34_000, {"client": 0.5, "mongodb": 2.5}),
    "insert-2": (46_000, {"client": 0.6, "mongodb": 2.4}),
    "consume-bytes": (314_000, {"client": 0.31, "kafka": 0.1}),
    "consume-decoded": (30_000, {"client": 0.5, "kafka": 0.2}),
    "produce-single": (63_000, {"client": 1.6, "kafka": 0.3}),
    "produce-pooled-8": (100_000, {"client": 0.8, "kafka": 0.3}),
    "produce-pooled-64": (120_000, {"client": 0.7, "kafka": 0.25}),
    "handler-single-8": (5_000, {"client": 5.0, "handler": 16.0}),
    "handler-batches-8": (300_000, {"client": 0.1, "handler": 0.3}),
    "generator": (90_000, {"generator": 0.6}),
}


def loop(name: str, rate: float, costs: dict[str, float]) -> dict[str, Any]:
    once = {"round": 1, "place": 1, "events": 1_000, "took_s": 1_000 / rate, "events_per_s": rate}
    return {
        "name": name,
        "words": f"what {name} does",
        "events_per_s": {"n": 3, "mean": rate, "low": rate * 0.9, "high": rate / 0.9},
        "cpu_s_per_100k_events": {
            role: {"n": 3, "mean": cost, "low": None, "high": None} for role, cost in costs.items()
        },
        "repeats": [{**once, "cpu_s_per_100k_events": costs, "service_time_ms": {"p99": 12.0}}],
    }


def content(names: tuple[str, ...] = tuple(LOOPS), **changes: Any) -> dict[str, Any]:
    whole = {
        "schema_version": 2,
        "fingerprint": "abc",
        "measured_at": "2026-11-22T21:00:00Z",
        "took_s": 150.0,
        "rounds": 3,
        "seed": 1,
        "servers": "local",
        "conditions": CONDITIONS,
        "disturbance": {"other_programs": 0.02, "stolen": 0.01},
        "loops": [loop(name, *LOOPS[name]) for name in names],
    }
    return whole | changes


def ceilings(*names: str) -> Ceilings:
    return msgspec.convert(content(names or tuple(LOOPS)), Ceilings)


def plan(kind: str, **axes: Any) -> CellPlan:
    usual = {"payload_bytes": 256, "write_concern": "majority", "acks": "all", "compression": "none", "consumers": 1}
    return CellPlan("c", kind, usual | axes)


class TestTheCeilingOfACell:
    def test_the_ceiling_of_a_drain_is_the_slower_of_the_best_insert_and_the_consumers(self) -> None:
        found = ceilings()
        parts = {consumers: shares.ceiling(found, plan("drain", consumers=consumers), 2)[0] for consumers in (1, 2, 4)}
        assert parts[1] == bare.PathPart("consume", "consume-decoded", 30_000)
        assert parts[2] == parts[4] == bare.PathPart("insert", "insert-2", 46_000)

    def test_more_processes_than_cores_count_for_nothing(self) -> None:
        found = ceilings("insert-1", "consume-decoded")
        consume = {cores: bare.parts(found, plan("drain", consumers=4), cores)[0] for cores in (1, 2, 8)}
        assert [part.events_per_s for part in consume.values()] == [30_000, 60_000, 120_000]

    def test_through_http_every_part_of_the_path_counts(self) -> None:
        parts = bare.parts(ceilings(), plan("steady", consumers=2, api_processes=1, generator_processes=2), 2)
        rates = {part.name: part.events_per_s for part in parts}
        mixed = 1 / (0.1 / 5_000 + 0.9 / 300_000)
        assert rates == {
            "generator": 180_000,
            "HTTP": pytest.approx(mixed),
            "produce": 120_000,
            "consume": 60_000,
            "insert": 46_000,
        }
        assert shares.ceiling(ceilings(), plan("steady", consumers=2), 2)[0] == parts[1]

    @pytest.mark.parametrize(
        ("axes", "why"),
        [
            ({"payload_bytes": 1_024}, "measured with payload_bytes 256"),
            ({"write_concern": "1"}, "measured with write_concern majority"),
            ({"acks": "1"}, "measured with acks all"),
            ({"acks": None, "compression": None}, ""),
        ],
    )
    def test_a_cell_under_other_conditions_has_no_ceiling(self, axes: dict[str, Any], why: str) -> None:
        part, reason = shares.ceiling(ceilings(), plan("drain", **axes), 2)
        assert (part is None, reason) == (bool(why), why)

    def test_without_a_measurement_there_is_no_ceiling(self) -> None:
        assert shares.ceiling(None, plan("drain"), 2) == (None, "not measured")
        assert shares.ceiling(ceilings("handler-single-8"), plan("drain"), 2) == (None, "not measured")


class TestTheLeastCost:
    def test_the_least_cost_of_a_drain_is_reading_decoding_and_writing(self) -> None:
        assert bare.costs(ceilings(), "drain") == {"worker": pytest.approx(1.1), "kafka": 0.2, "mongodb": 2.4}

    def test_the_least_cost_of_the_whole_path_is_that_of_the_fastest_loops(self) -> None:
        cost = bare.costs(ceilings(), bare.THROUGH_HTTP)
        assert cost == {
            "generator": 0.6,
            "api": pytest.approx(0.1 * 16 + 0.9 * 0.3 + 0.7),
            "kafka": pytest.approx(0.25 + 0.2),
            "worker": pytest.approx(1.1),
            "mongodb": 2.4,
        }

    @pytest.mark.parametrize("missing", ["generator", "handler-single-8", "consume-decoded"])
    def test_a_path_that_was_not_measured_as_a_whole_has_no_least_cost(self, missing: str) -> None:
        assert bare.costs(ceilings(*(name for name in LOOPS if name != missing)), bare.THROUGH_HTTP) == {}

    def test_the_bound_is_cores_by_the_sum_of_costs(self) -> None:
        assert bare.bound({"worker": 1.0, "mongodb": 3.0}, 2) == 50_000
        assert bare.bound({}, 2) is None
        assert bare.bound({"worker": 1.0}, 0) is None


def run_of(tmp_path: Path, found: dict[str, Any] | None, **changes: Any) -> reading.Bundle:
    given = [
        Cell("drain-c1", "drain", {"consumers": 1}, rate=23_000.0),
        Cell("steady-c2", "steady", {"consumers": 2, "visitor_share": 0.1}),
    ]
    run = write(tmp_path, Plan([*given], requests=300))
    if found is not None:
        (run / "ceilings.json").write_text(json.dumps(found | changes))
    return reading.load(run)


USUAL = content()


class TestTheReport:
    def test_each_cell_has_its_share_its_cost_and_its_bound(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, USUAL)
        views = cells.summarise(read)
        drain, steady = shares.compute(read, views).shares
        stored = drain.stored_events_per_s or 0.0
        assert drain.share == pytest.approx(stored / 30_000)
        assert steady.share == pytest.approx((steady.stored_events_per_s or 0.0) / (1 / (0.1 / 5_000 + 0.9 / 300_000)))
        whole = sum(drain.cpu_s_per_100k_events.values())
        assert drain.whole_cpu_s_per_100k_events == pytest.approx(whole)
        assert drain.bound_events_per_s == pytest.approx(read.manifest.hardware.cores / whole * 100_000)
        # What the bound says is how much of the machine was used.
        assert drain.share_of_bound == pytest.approx(sum(views[0].cores.values()) / read.manifest.hardware.cores)
        reached, costs = (make(shares.compute(read, views), views) for make in (tables.reached, tables.costs))
        assert reached.rows[0][3] == "consume (consume-decoded)"
        assert [row[0] for row in costs.rows][2:] == ["bare loops, drain", "bare loops, the whole path"]
        assert costs.rows[0][-1] == formats.rounded(whole)
        assert all(len(row) == len(table.heads) for table in (reached, costs) for row in table.rows)

    def test_the_section_says_which_cell_came_nearest_and_what_the_loops_allow(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, USUAL)
        made = section.section(read, cells.summarise(read))
        words = " ".join(made.parts[0].words)
        assert "interleaved over 3 rounds" in words
        assert "of its ceiling of 30,000 events/s (consume, consume-decoded)" in words
        assert "a drain costs at least 3.70 CPU-s per 100k events: on 2 cores that allows 54,100 events/s" in words
        assert "Caution" not in words
        assert made.parts[3].table is not None
        assert [row[0] for row in made.parts[3].table.rows] == list(LOOPS)

    def test_parts_are_shown_with_every_pair_and_those_that_missed_are_marked(self, tmp_path: Path) -> None:
        held = {
            "name": "a worker drains",
            "part": "worker-1",
            "against": "insert-2",
            "quantity": "events/s",
            "side": "at least",
            "share": 0.95,
            "spare": 0.0,
            "ratio": 0.9,
            "low": 0.88,
            "high": 0.92,
            "verdict": "not met",
            "pairs": [{"round": 1, "value": 45_000.0, "against": 50_000.0, "ratio": 0.9}],
        }
        parts = [loop("worker-1", 45_000.0, {"worker": 1.1, "mongodb": 2.0})]
        read = run_of(tmp_path, USUAL, parts=parts, held=[held, held | {"verdict": "met"}])
        made = section.section(read, cells.summarise(read))
        assert "2 targets, 1 met, 1 not met" in " ".join(made.parts[3].words)
        table, pairs = made.parts[3].table, made.parts[4].table
        assert table is not None
        assert table.marked == {0}
        assert table.rows[0][1:5] == ("worker-1 / insert-2", "0.900", "0.880", "0.920")
        assert pairs is not None
        assert pairs.rows[0][-1] == "45,000 / 50,000"
        every = made.parts[5].table
        assert every is not None
        assert every.rows[-1][0] == "worker-1"
        views = cells.summarise(read)
        as_json = json.loads(summary.to_json(read, views, verdict.decide(read, views)))["ceilings"]
        assert [each["verdict"] for each in as_json["held"]] == ["not met", "met"]

    def test_a_busy_machine_is_mentioned(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, USUAL, disturbance={"other_programs": 0.3, "stolen": 0.1})
        assert "Caution: others used 40.0%" in " ".join(section.section(read, cells.summarise(read)).parts[0].words)

    def test_without_ceilings_it_says_how_to_measure_them_and_still_has_costs_and_bounds(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, None)
        made = section.section(read, cells.summarise(read))
        assert "./tidemark bench ceilings" in made.parts[0].words[0]
        table = made.parts[1].table
        assert table is not None
        assert [row[2:5] for row in table.rows] == [(formats.NOTHING, "not measured", formats.NOTHING)] * 2
        assert all(row[-1].endswith("%") for row in table.rows)

    def test_summary_json_has_loops_shares_and_least_costs(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, USUAL)
        views = cells.summarise(read)
        written = json.loads(summary.to_json(read, views, verdict.decide(read, views)))["ceilings"]
        assert [each["name"] for each in written["loops"]] == list(LOOPS)
        assert [each["cell"] for each in written["shares"]] == ["drain-c1", "steady-c2"]
        assert [each["kind"] for each in written["least"]] == ["drain", "the whole path"]

    def test_a_damaged_file_is_a_note_and_one_of_another_version_is_refused(self, tmp_path: Path) -> None:
        read = run_of(tmp_path, None)
        (read.path / "ceilings.json").write_text("{")
        again = reading.load(read.path)
        assert again.ceilings is None
        assert any("ceilings.json" in note for note in again.notes)
        (read.path / "ceilings.json").write_text(json.dumps(content(schema_version=9)))
        with pytest.raises(SchemaVersionError):
            reading.load(read.path)
