"""Which configuration is advised for a load, what proves it, and what is to be measured where nothing does."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import msgspec
import pytest

from bench.matrix import matrix
from bundle.manifest import Hardware, Manifest, MatrixText
from bundle.reading import Bundle, Repeat
from bundle.result import Percentiles
from reports.advice import advice, planner
from reports.advice.advice import Advice
from reports.answer import objective
from reports.answer.objective import LatencyObjective
from reports.cells.bottleneck import Bottleneck
from reports.cells.cells import Cell
from reports.errors import NothingMeasuredError, ObjectiveError
from tests.unit.reports import made
from tests.unit.reports.made import capacity, drain, steady

P99 = LatencyObjective("delivery_latency", "p99", 1000.0)
BUNDLE = Bundle(
    Path("nowhere"), Manifest(schema_version=2, run_id="r", status="complete", hardware=Hardware(cores=2)), (), ()
)


def advise(*cells: Cell, target: float = 20_000, asked: LatencyObjective = P99) -> Advice:
    return advice.advise(BUNDLE, cells, target, asked)


def with_results(cell: Cell, **changes: object) -> Cell:
    """Change every result of a cell."""
    changed = tuple(Repeat(one.path, msgspec.structs.replace(one.result, **changes)) for one in cell.valid)
    return dataclasses.replace(cell, attempts=changed, valid=changed, counted=changed)


def status(given: Advice, consumers: int = 1) -> str:
    (found,) = [one.status for one in given.configurations if one.axes["consumers"] == consumers]
    return found


class TestObjective:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("p99 delivery latency <= 1 s", LatencyObjective("delivery_latency", "p99", 1000.0)),
            ("P50 response time<=250ms", LatencyObjective("response_time", "p50", 250.0)),
            ("p99.9  delivery latency ≤ 1.5 s", LatencyObjective("delivery_latency", "p999", 1500.0)),
        ],
    )
    def test_an_objective_is_read_as_people_write_it(self, text: str, expected: LatencyObjective) -> None:
        assert objective.parse(text) == expected
        assert objective.parse(expected.words) == expected

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("p99 latency <= 1 s", "delivery latency counts until the write was acknowledged"),
            ("p97 delivery latency <= 1 s", "that percentile is not measured"),
            ("p99 delivery latency 1 s", "there is no <="),
            ("p99 delivery latency <= 0 s", "allows no time at all"),
            ("p99 delivery latency <= 1 s, and more", "write it as 'p99 delivery latency <= 1 s'"),
        ],
    )
    def test_a_text_that_is_not_an_objective_is_refused_with_a_hint(self, text: str, hint: str) -> None:
        with pytest.raises(ObjectiveError, match=hint):
            objective.parse(text)

    def test_a_stricter_objective_implies_a_looser_one(self) -> None:
        searched = objective.find("p99 delivery latency <= 500 ms, p99 response time <= 2 s, at most 0.0% rejected")
        assert len(searched) == 2
        assert P99.follows_from(searched)
        assert objective.parse("p50 delivery latency <= 500 ms").follows_from(searched)
        assert not objective.parse("p99 delivery latency <= 499 ms").follows_from(searched)
        assert not objective.parse("p999 delivery latency <= 1 s").follows_from(searched)
        assert not objective.parse("p99 response time <= 1 s").follows_from(searched)


class TestSteadyCells:
    def test_a_steady_cell_proves_its_load_and_less(self) -> None:
        cell = steady(20_000, [300, 400, 350])
        assert advise(cell).best is not None
        assert advise(cell, target=12_000).best is not None
        given = advise(cell, target=20_001)
        assert given.best is None
        assert status(given) == "unclear"

    def test_every_repeat_has_to_meet_the_objective(self) -> None:
        given = advise(steady(20_000, [300, 1_100, 350]))
        assert status(given) == "misses"
        (found,) = given.configurations
        assert found.shown is not None
        assert found.shown.how == "in 1 of 3 repeats p99 delivery latency up to 1,100 ms"

    def test_what_misses_a_higher_load_says_nothing_of_a_lower_one(self) -> None:
        cells = [steady(20_000, [300, 400]), steady(32_000, [3_000, 2_000], id="higher")]
        assert advise(*cells).best is not None
        assert status(advise(*cells, target=32_000)) == "misses"
        between = advise(*cells, target=25_000)
        assert status(between) == "unclear"
        assert "; 32,000 events/s missed it: in 2 of 2 repeats p99" in "\n".join(planner.lines(between))

    def test_a_low_latency_while_the_backlog_grows_is_no_proof(self) -> None:
        given = advise(steady(20_000, [300, 400], achieved=0.95))
        assert status(given) == "misses"
        assert given.configurations[0].shown is not None
        assert given.configurations[0].shown.how == (
            "in 2 of 2 repeats it did not keep up: 1,000 events/s more were accepted than stored (900 to 1,100), "
            "400 are allowed"
        )

    def test_one_late_batch_at_the_edge_of_the_window_is_not_a_miss(self) -> None:
        kept_up = with_results(steady(20_000, [85, 85]), achieved=0.975, keeping_up=made.keeping_up(20_000, 0))
        assert status(advise(kept_up)) == "holds"
        of_before = with_results(steady(20_000, [85, 85]), achieved=0.975, keeping_up=None)
        given = advise(of_before)
        assert status(given) == "unclear"
        assert "in 2 of 2 repeats whether it kept up is not clear" in str(given.configurations[0].shown)

    def test_windows_too_short_to_say_whether_it_kept_up_say_it_together(self) -> None:
        wide = made.keeping_up(20_000, 0.005, spread=0.03)
        assert wide.verdict == "straddles"
        assert status(advise(with_results(steady(20_000, [300]), keeping_up=wide))) == "unclear"
        assert status(advise(with_results(steady(20_000, [300] * 5), keeping_up=wide))) == "holds"

    def test_what_a_void_attempt_found_is_held_against_nothing(self) -> None:
        cell = steady(20_000, [300, 400])
        result = msgspec.structs.replace(
            cell.valid[0].result, valid=False, reasons=("machine: busy",), findings=("1,721 events rejected of 30,000",)
        )
        void = Repeat(Path("nowhere"), result)
        assert status(advise(dataclasses.replace(cell, attempts=(void, *cell.valid)))) == "holds"
        (found,) = advise(dataclasses.replace(cell, attempts=(void,), valid=(), counted=())).configurations
        assert (found.status, str(found.shown and found.shown.how)) == (
            "unclear",
            "it has no valid repeat: 1 attempt void, the last because machine: busy",
        )
        assert planner.exit_code(advise(dataclasses.replace(cell, attempts=(void,), valid=(), counted=()))) == 4

    def test_findings_disqualify_but_not_that_the_matrix_asked_for_more(self) -> None:
        cell = steady(20_000, [300])
        (repeat,) = cell.attempts

        def having(*findings: str) -> Cell:
            marked = Repeat(repeat.path, msgspec.structs.replace(repeat.result, findings=findings))
            return dataclasses.replace(cell, attempts=(marked,), valid=(marked,), counted=(marked,))

        assert advise(having("objective missed: delivery latency p99 300.0 ms > 100 ms")).best is not None
        given = advise(having("3 accepted and then lost"))
        assert status(given) == "misses"
        assert "3 accepted and then lost" in str(given.configurations[0].shown)

    def test_too_few_requests_for_the_percentile_show_nothing(self) -> None:
        given = advise(steady(20_000, [300, None]))
        assert status(given) == "unclear"
        assert "too few requests to know the p99 delivery latency in 1 of 2 repeats" in str(
            given.configurations[0].shown
        )

    @pytest.mark.parametrize(
        ("requests", "largest_ms", "expected"), [(299, 900, "holds"), (298, 900, "unclear"), (299, 1_100, "unclear")]
    )
    def test_an_objective_is_met_if_none_of_299_requests_was_later_though_there_is_no_p99(
        self, requests: int, largest_ms: float, expected: str
    ) -> None:
        cell = steady(20_000, [None])
        latencies = Percentiles(p50=1.0, max=largest_ms)
        result = msgspec.structs.replace(cell.valid[0].result, requests=requests, delivery_latency_ms=latencies)
        given = advise(dataclasses.replace(cell, valid=(Repeat(Path("nowhere"), result),)))
        assert status(given) == expected

    def test_the_smallest_has_the_fewest_consumers_then_partitions_then_api_processes(self) -> None:
        def cell(consumers: int, partitions: int, api_processes: int) -> Cell:
            name = f"s-{consumers}-{partitions}-{api_processes}"
            sizes = {"consumers": consumers, "partitions": partitions, "api_processes": api_processes}
            return steady(20_000, [300], id=name, **sizes)

        cells = [cell(4, 1, 1), cell(2, 8, 1), cell(2, 4, 2), cell(2, 4, 1)]
        given = advise(*cells)
        assert given.best is not None
        assert given.best.words == "2 consumers, 4 partitions per topic, 1 API process"
        assert [one.axes["consumers"] for one in given.configurations] == [2, 2, 2, 4]

    def test_cells_of_another_workload_prove_nothing_for_this_one(self) -> None:
        usual = [steady(20_000, [2_000], consumers=n, payload_bytes=1024) for n in (1, 2)]
        given = advise(*usual, steady(20_000, [100], id="small", consumers=1, payload_bytes=64))
        assert given.best is None
        assert (given.conditions["payload_bytes"], given.left_out) == (1024, ("small",))


class TestCapacityCells:
    def test_a_search_proves_the_lower_end_of_its_interval(self) -> None:
        cell = capacity((22_000, 20_500, 24_000))
        assert advise(cell, target=20_500).best is not None
        assert status(advise(cell, target=21_000)) == "unclear"
        assert status(advise(cell, target=25_000)) == "misses"

    def test_a_search_never_proves_more_than_was_sustained(self) -> None:
        assert advise(capacity((20_000, 20_500, 24_000)), target=20_400).best is None

    def test_an_answer_that_was_not_confirmed_counts_by_its_interval_and_is_said_to_be_so(self) -> None:
        given = advise(capacity((22_000, 20_500, 24_000), confirmed=False))
        assert given.best is not None
        assert "not confirmed by repeats" in "\n".join(planner.lines(given))

    @pytest.mark.parametrize(
        ("target", "expected", "sure"),
        [(15_000, "holds", 0.975), (20_500, "holds", 0.975), (22_000, "unclear", 0.5), (24_500, "misses", 0.025)],
    )
    def test_how_sure_an_answer_is_follows_from_the_searchs_interval(
        self, target: float, expected: str, sure: float
    ) -> None:
        cell = capacity((21_000, 20_500, 24_000))
        middle = dataclasses.replace(
            cell, capacity=msgspec.structs.replace(cell.capacity, median_events_per_s=22_000.0)
        )
        (found,) = advise(middle, target=target).configurations
        assert (found.status, found.shown and found.shown.sure) == (expected, pytest.approx(sure))

    def test_an_interval_without_an_upper_end_says_how_sure_its_lower_end_is(self) -> None:
        given = advise(capacity((22_000, 20_500, None), confirmed=False))
        assert "  how sure: 97.5%, by one search of capacity-p3-c1" in "\n".join(planner.lines(given))
        assert status(advise(capacity((22_000, 20_500, None)), target=60_000)) == "unclear"

    def test_inside_the_interval_the_nearest_its_chance_and_what_breaks_first_are_said(self) -> None:
        low = capacity((18_000, 17_000, 19_000), consumers=2)
        probes = [(22_000.0, True, 300.0), (24_500.0, False, 2_400.0)]
        given = advise(capacity((22_000, 20_500, 24_000), probes), low, target=22_000)
        text = "\n".join(planner.lines(given))
        assert "  nearest: 1 consumer, 3 partitions per topic, 1 API process\n  it held 20,500 events/s, " in text
        assert "  the chance that it also holds 22,000: 5" in text
        assert "  what breaks first above it: delivery latency: " in text
        assert "at 24,500 events/s" in text
        assert given.measure_next[0].endswith("at this load: its search leaves it open")
        assert matrix.parse(given.measure_next[1], "next").cells[0].offered_load == 22_000

    def test_the_nearest_is_what_held_most_and_not_what_was_asked_for(self) -> None:
        given = advise(
            capacity((12_000, 11_000, 13_000)), capacity((22_000, 20_500, 24_000), consumers=2), target=90_000
        )
        assert given.nearest is not None
        assert given.nearest.axes["consumers"] == 2

    def test_a_search_without_any_answer_says_what_it_found_and_one_without_a_valid_probe_nothing(self) -> None:
        given = advise(capacity((None, None, 500), [(500.0, False, 3_000.0)]), target=400)
        assert status(given) == "unclear"
        assert status(advise(capacity((None, None, 500), [(500.0, False, 3_000.0)]), target=600)) == "misses"
        assert status(advise(capacity((None, None, None)))) == "unclear"

    def test_a_steady_cell_that_misses_it_at_less_counts_for_more(self) -> None:
        given = advise(capacity((26_000, 25_000, 27_000)), steady(19_000, [1_500]))
        assert status(given) == "misses"

    def test_a_search_for_something_else_is_asked_probe_by_probe(self) -> None:
        stricter = objective.parse("p99 delivery latency <= 300 ms")
        probes = [(20_000.0, True, 250.0), (20_000.0, True, 280.0), (26_000.0, True, 200.0), (28_000.0, False, 2e3)]
        cell = capacity((26_000, 25_000, 27_000), probes)
        assert advise(cell, asked=stricter).best is not None
        assert status(advise(cell, asked=stricter, target=24_000)) == "unclear"  # one probe alone
        assert status(advise(cell, asked=stricter, target=28_000)) == "misses"
        assert advise(cell, asked=objective.parse("p99 delivery latency <= 260 ms")).best is None

    def test_a_search_that_has_not_ended_shows_what_its_probes_show(self) -> None:
        probes = [(20_000.0, True, 250.0), (20_000.0, True, 280.0), (26_000.0, True, 200.0)]
        cell = dataclasses.replace(capacity((None, None, None), probes), capacity=None)
        assert advise(cell).best is not None
        assert status(advise(cell, target=26_000)) == "unclear"
        alone = dataclasses.replace(capacity((None, None, None), probes[2:]), capacity=None)
        (found,) = advise(alone).configurations
        assert found.shown is not None
        assert found.shown.how == "one probe alone met it, and the search has not ended"


class TestDrains:
    def test_a_drain_that_is_slower_excludes_and_a_faster_one_proves_nothing(self) -> None:
        half = steady(10_000, [100], consumers=2)
        slow, fast = drain([14_000, 15_000, 16_000], consumers=1), drain([50_000, 51_000], consumers=2)
        given = advise(half, slow, fast)
        assert (status(given, 1), status(given, 2)) == ("excluded", "unclear")
        assert given.best is None
        assert "measure 2 consumers, 3 partitions per topic" in given.measure_next[0]

    def test_a_run_of_drains_alone_cannot_answer(self) -> None:
        with pytest.raises(NothingMeasuredError, match="no steady or capacity cell"):
            advise(drain([50_000, 51_000]))


class TestWhatToMeasureNext:
    def test_an_open_configuration_comes_as_a_matrix_that_can_be_run(self) -> None:
        given = advise(steady(10_000, [100], consumers=2))
        words, text, run_it = given.measure_next
        assert words.startswith("measure 2 consumers")
        assert run_it.endswith("./tidemark bench next.toml")
        (cell,) = matrix.parse(text, "next.toml").cells
        assert (cell.kind, cell.start_load, cell.consumers) == ("capacity", 20_000, 2)
        assert cell.objective is not None
        assert cell.objective.delivery_latency_p99_ms == 1000
        other = advise(steady(10_000, [100]), asked=objective.parse("p50 response time <= 1 s")).measure_next[1]
        (cell,) = matrix.parse(other, "next.toml").cells
        assert (cell.kind, cell.offered_load) == ("steady", 20_000)

    def test_where_all_miss_it_the_bottleneck_of_the_nearest_says_where_to_go(self) -> None:
        bound = Bottleneck(
            resource="api_process", name="API", determined=True, next_axis="api_processes", next_why="one thread each"
        )
        given = advise(steady(20_000, [5_000], bottleneck=bound), steady(9_000, [2_000], consumers=2))
        said, turn, cell, _ = given.measure_next
        assert said.endswith("is bound by API")
        assert turn == "turn up API processes (there 1): one thread each"
        assert "api_processes = 2" in cell

    def test_the_advice_says_so_where_no_axis_helps(self) -> None:
        bound = Bottleneck(resource="machine_cpu", name="the machine's CPU", determined=True, next_why="more cores")
        assert advise(steady(20_000, [5_000], bottleneck=bound)).measure_next[1:] == ("more cores",)


def law(n: int) -> float:
    return 10_000 * n / (1 + 0.05 * (n - 1) + 0.002 * n * (n - 1))


def searched(n: int, objective_words: str = P99.words, **fields: object) -> Cell:
    value = law(n)
    return capacity((value, value * 0.98, value * 1.02), consumers=n, objective=objective_words, **fields)


class TestExtrapolation:
    LEVELS = (1, 2, 3, 4, 6)

    def test_it_goes_beyond_what_was_measured_along_a_fit_and_is_marked_so(self) -> None:
        given = advise(*(searched(n) for n in self.LEVELS), target=law(8))
        assert given.best is None
        assert given.extrapolation is not None
        assert given.extrapolation.measured_up_to == 6
        assert 8 <= given.extrapolation.consumers <= 10
        assert given.extrapolation.low_events_per_s >= law(8)
        assert "no resource that was not saturated" in " ".join(given.extrapolation.assumptions)
        assert f"consumers = {given.extrapolation.consumers}" in given.measure_next[1]
        text = "\n".join(planner.lines(given))
        assert "EXTRAPOLATION, not measured" in text
        assert planner.exit_code(given) == 1

    @pytest.mark.parametrize(
        ("cells", "target", "why"),
        [
            ([searched(n) for n in (1, 2)], law(3), "too few levels"),
            ([searched(n) for n in LEVELS], 80_000.0, "up to 12 consumers the fitted curve does not surely reach it"),
            (
                [searched(n, "p99 delivery latency <= 5 s") for n in LEVELS],
                law(8),
                "its searches asked for something else",
            ),
            ([steady(10_000, [100])], 20_000.0, "there is no curve to follow"),
        ],
    )
    def test_without_a_fit_that_reaches_it_nothing_is_said(self, cells: list[Cell], target: float, why: str) -> None:
        given = advise(*cells, target=target)
        assert given.extrapolation is None
        assert why in given.no_extrapolation

    def test_a_curve_that_ends_in_saturation_is_not_followed(self) -> None:
        busy = Bottleneck(resource="machine_cpu", name="the machine's CPU", determined=True)
        cells = [*(searched(n) for n in self.LEVELS), searched(8, bottleneck=busy)]
        given = advise(*cells, target=law(10))
        assert "the curve ends where the machine's CPU is saturated at N = 8" in given.no_extrapolation

    def test_a_load_that_the_machine_has_no_cpu_for_is_not_promised(self) -> None:
        cells = [searched(n) for n in self.LEVELS]
        cost = dataclasses.replace(cells[-1], throughput=made.drain([law(6)]).throughput, cores={"worker": 1.7})
        given = advise(*cells[:-1], cost, target=law(8))
        assert "the machine's CPU would not be enough" in given.no_extrapolation


class TestForTheReport:
    def test_round_loads_about_the_highest_held_are_answered(self) -> None:
        found = capacity((22_000, 20_500, 24_000), [(22_000.0, True, 500.0)], consumers=2)
        answers = advice.for_report(BUNDLE, [steady(9_000, [300]), found])
        assert [each.target_events_per_s for each in answers] == [5_000, 10_000, 20_000, 50_000]
        best = [each.best.axes["consumers"] if each.best else None for each in answers]
        assert best == [1, 2, 2, None]  # the first's load is above 5,000, and below 10,000

    def test_the_runs_own_objective_is_asked(self) -> None:
        cells = [steady(10_000, [300])]
        assert advice.asked_by(BUNDLE, cells) == advice.DEFAULT_OBJECTIVE
        manifest = msgspec.structs.replace(BUNDLE.manifest, matrix=MatrixText(objective={"response_time_p99_ms": 250}))
        given = advice.asked_by(dataclasses.replace(BUNDLE, manifest=manifest), cells)
        assert given == LatencyObjective("response_time", "p99", 250.0)
        searching = [capacity((1.0, 1.0, 1.0), objective="p99 delivery latency <= 200 ms, at most 0.0% rejected")]
        assert advice.asked_by(BUNDLE, searching).limit_ms == 200

    def test_without_a_cell_of_the_whole_path_there_is_no_advice(self) -> None:
        assert advice.for_report(BUNDLE, [drain([50_000.0])]) == ()


@pytest.mark.parametrize("target", [0.0, -5.0, math.inf, math.nan, 1e12])
def test_an_invalid_load_is_refused(target: float) -> None:
    with pytest.raises(ObjectiveError, match="cannot be: give one above 0"):
        advise(steady(10_000, [300]), target=target)


def test_smaller_configurations_that_were_not_measured_at_the_load_are_named() -> None:
    half, whole = steady(10_000, [300]), steady(20_000, [300], consumers=2)
    assert "1 smaller configuration was not measured at such a load" in "\n".join(planner.lines(advise(half, whole)))
    assert "not measured at such a load" not in "\n".join(planner.lines(advise(whole)))


def test_the_answer_is_written_as_text_and_as_json() -> None:
    drains = [drain([50_000, 51_000]), drain([9_000, 9_100], consumers=2, batch_max_events=500)]
    given = advise(steady(20_000, [300], consumers=2), steady(20_000, [3_000]), *drains)
    text = "\n".join(planner.lines(given))
    assert "2 consumers, 3 partitions per topic, batch 500" not in text  # a drain alone is only counted
    for words in (
        "20,000 events/s with p99 delivery latency <= 1 s",
        "  2 consumers, 3 partitions per topic, 1 API process",
        "smallest means: fewest consumers, then fewest partitions per topic, then fewest API processes",
        "  misses it      1 consumer, 3 partitions per topic, 1 API process, batch 2,000: ",
        "no proof for the whole path, only a bound",
        "1 configuration was drained alone; 1 of them cannot hold it, by its drains",
    ):
        assert words in text
    assert planner.exit_code(given) == 0
    written = json.loads(planner.to_json(given))
    assert (written["best"]["axes"]["consumers"], written["objective"]) == (2, P99.words)
