"""Which limit is named, on which evidence, and which axis is to be turned next."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bundle.capacity import CapacityAnswer
from bundle.interval import Interval
from bundle.manifest import CellPlan
from bundle.result import Consumer, Disturbance, KafkaUse, LoopLag, MongoUse, Probe, Result, Sustained, Window
from reports.cells import bottleneck, neighbours
from reports.cells.bottleneck import Bottleneck
from reports.cells.neighbours import MeasuredCell

DRAIN = CellPlan("c", "drain", {"consumers": 1, "partitions": 3, "key_skew": 0.0})
STEADY = CellPlan("s", "steady", {"api_processes": 1, "generator_processes": 1, "consumers": 1, "partitions": 3})
KEPT_UP = Sustained(1.0, 0.5, 2.0, 20.0, "sustained", holds=True)
IDLE_MACHINE = {"kafka": 0.1, "worker": 0.4, "mongodb": 0.6}


def result(cores: dict[str, float] = IDLE_MACHINE, *, consumers: int = 1, idle: int = 0, **fields: Any) -> Result:
    read = tuple(Consumer(f"worker-{n}", records=100, idle=n >= consumers) for n in range(consumers + idle))
    whole = {"window": Window(0.0, 10.0), "partitions_total": 9, "consumers": read, "cpu_cores_per_role": cores}
    return Result(schema_version=2, cell="c", kind="drain", round=1, valid=True, **(whole | fields))


def judge(*results: Result, plan: CellPlan = DRAIN, cores: float = 2, **more: Any) -> Bottleneck:
    found = bottleneck.find(plan, results, cores, more.pop("stages_ms", {}), **more)
    assert found is not None
    return found


class TestTheMachine:
    def test_a_machine_without_free_cpu_is_the_limit_and_its_greatest_user_is_named_with_each_share(self) -> None:
        found = judge(result({"kafka": 0.2, "worker": 0.4, "mongodb": 1.3}))
        assert (found.resource, found.role, found.determined) == ("machine_cpu", "mongodb", True)
        assert found.name == "the machine's CPU (MongoDB uses the most)"
        assert found.because == "the machine's CPU 1.90 of 2 cores used: MongoDB 1.30, worker 0.40, Kafka 0.20"
        assert (found.evidence[0].value, found.evidence[0].limit) == (pytest.approx(1.9), 2)
        assert found.next_axis is None
        assert "no axis adds cores" in found.next_why

    def test_much_time_in_the_kernel_is_mentioned(self) -> None:
        def sentence(system: float) -> str:
            split = {
                "cpu_user_cores_per_role": {"mongodb": 1.9 - system},
                "cpu_system_cores_per_role": {"mongodb": system},
            }
            return judge(result({"mongodb": 1.9}, **split)).because

        assert sentence(0.95).endswith("; 50.0% of what the roles use is spent in the kernel")
        assert "kernel" not in sentence(0.5)

    def test_what_other_programs_take_counts_and_is_to_be_taken_away(self) -> None:
        found = judge(result({"mongodb": 1.2, "worker": 0.3}, disturbance=Disturbance(other_programs=0.2)))
        assert found.resource == "machine_cpu"
        assert "and 0.40 by what is not of the run" in found.because
        assert found.next_why.startswith("leave the machine to the run")

    def test_the_machine_s_limit_comes_before_that_of_a_process(self) -> None:
        found = judge(result({"worker": 0.95, "mongodb": 0.95}))
        assert found.resource == "machine_cpu"
        assert "also the busiest worker process 0.95 of 1 cores" in found.because

    def test_repeats_that_disagree_determine_nothing(self) -> None:
        busy, calm = result({"mongodb": 1.9}), result({"mongodb": 1.2})
        assert judge(busy, busy, calm).determined
        found = judge(busy, calm, calm)
        assert (found.determined, found.name) == (False, None)
        assert "at its limit in 1 of 3 repeats" in found.because


class TestOneRole:
    def test_a_worker_at_its_core_is_the_limit_of_a_large_machine(self) -> None:
        found = judge(result({"kafka": 0.2, "worker": 0.95, "mongodb": 1.3}), cores=16)
        assert (found.role, found.name, found.next_axis) == ("worker", "worker", "consumers")

    def test_with_a_consumer_for_each_partition_more_partitions_come_first(self) -> None:
        found = judge(result({"worker": 8.6}, consumers=9), cores=64)
        assert (found.role, found.next_axis) == ("worker", "partitions")

    def test_idle_workers_do_not_hide_a_busy_one(self) -> None:
        assert judge(result({"worker": 0.95}, idle=2), cores=16).role == "worker"

    def test_the_busiest_process_counts_and_not_the_mean_and_uneven_work_needs_no_more_processes(self) -> None:
        reads = tuple(Consumer(f"worker-{n}", records=records) for n, records in enumerate((900, 50, 50)))
        busy = result({"worker": 1.3}, consumers=3, busiest_process_cores_per_role={"worker": 0.97})
        even = judge(busy, cores=16)
        assert (even.role, even.next_axis) == ("worker", "consumers")
        uneven = judge(structs.replace(busy, consumers=reads), cores=16)
        assert (uneven.role, uneven.next_axis) == ("worker", "partitions")
        assert "reads 2.70 times the mean" in uneven.next_why

    def test_an_api_process_at_its_core_asks_for_another(self) -> None:
        found = judge(result({"api": 0.9}, achieved=0.8), plan=STEADY, cores=16)
        assert (found.role, found.next_axis) == ("api", "api_processes")

    @pytest.mark.parametrize(
        ("use", "name", "axis"),
        [
            (MongoUse(write_tickets_used_mean=120, write_tickets=128), "MongoDB (write tickets)", "batch_max_events"),
            (MongoUse(journal_sync_share=0.9), "MongoDB (journal)", "batch_max_events"),
            (MongoUse(cache_dirty_share_max=0.21), "MongoDB (cache)", None),
            (MongoUse(cache_used_share_max=0.96), "MongoDB (cache)", None),
        ],
    )
    def test_mongodbs_own_limits_name_it(self, use: MongoUse, name: str, axis: str | None) -> None:
        found = judge(result(mongodb_use=use), cores=16)
        assert (found.name, found.role, found.next_axis) == (name, "mongodb", axis)

    def test_kafkas_request_handlers_name_it(self) -> None:
        found = judge(result(kafka_use=KafkaUse(handlers_busy_share=0.9)), cores=16)
        assert (found.name, found.because) == ("Kafka", "Kafka's request handlers 90.0% (limit 85.0%)")


class TestNothingAtItsLimit:
    def test_a_steady_cell_that_keeps_up_is_bound_by_its_load(self) -> None:
        found = judge(result(keeping_up=KEPT_UP), plan=STEADY)
        assert (found.resource, found.name, found.next_axis) == ("offered_load", "the offered load", "offered_load")
        assert found.because == "not saturated at this load: what was offered was stored"

    def test_the_repeats_in_which_a_limit_was_reached_are_counted(self) -> None:
        calm, busy = result(keeping_up=KEPT_UP), result({"mongodb": 1.85}, keeping_up=KEPT_UP)
        found = judge(calm, calm, busy, plan=STEADY)
        assert found.resource == "offered_load"
        assert "at its limit in 1 of 3 repeats: the machine's CPU" in found.because

    def test_a_steady_cell_that_falls_behind_is_not_determined_and_its_longest_stage_is_named(self) -> None:
        late = result(achieved=0.9, event_loop_lag_ms={"api": LoopLag(median_ms=80, max_ms=200)})
        found = judge(late, plan=STEADY, stages_ms={"write": 30.0, "http_and_api": 10.0})
        assert (found.determined, found.name) == (False, None)
        for words in ("longest stage write, 30.0 of 40.0 ms", "API woke 80.0 ms late", "counters were not recorded"):
            assert words in found.because

    def test_consumers_without_a_partition_ask_for_partitions(self) -> None:
        found = judge(result(consumers=9, idle=3))
        assert (found.resource, found.next_axis, found.determined) == ("partitions", "partitions", True)
        assert "3 consumers had none of the 9 partitions" in found.because

    def test_the_headroom_of_other_roles_is_that_of_their_nearest_limit(self) -> None:
        use = MongoUse(write_tickets_used_mean=96, write_tickets=128)
        found = judge(result({"kafka": 0.3, "worker": 0.4, "mongodb": 0.6, "api": 0.0}, mongodb_use=use))
        left = {one.role: (round(one.unused, 3), one.by) for one in found.headroom}
        assert left == {
            "machine": (0.35, "the machine's CPU"),
            "kafka": (0.7, "the machine's CPU"),
            "worker": (0.6, "the busiest worker process"),
            "mongodb": (0.25, "MongoDB's write tickets"),
        }


class TestAnotherSystem:
    """One that does not report when it stored an event."""

    UNSEEN = "; stages and the lag of event loops: not reported by this system"

    def test_what_is_not_seen_is_said_and_no_axis_of_ours_is_advised(self) -> None:
        silent = result({"shop": 0.4}, consumers=0, not_reported=("stamps", "backlog"))
        found = judge(silent, plan=STEADY)
        assert (found.determined, found.next_axis, found.next_why) == (False, None, "")
        assert found.because.endswith(self.UNSEEN)

    def test_it_is_said_too_where_a_limit_was_reached(self) -> None:
        found = judge(result({"shop": 1.9}, consumers=0, not_reported=("stamps",)), plan=STEADY)
        assert found.name == "the machine's CPU (shop uses the most)"
        assert found.because.endswith(self.UNSEEN)


class TestThinEvidence:
    def test_without_a_repeat_nothing_is_said(self) -> None:
        assert bottleneck.find(DRAIN, [], 2, {}) is None

    @pytest.mark.parametrize(
        ("thin", "cores", "why"),
        [
            (result({}), 2, "no CPU was recorded"),
            (result({"worker": 0.0}), 2, "no CPU was recorded"),
            (result(), 0, "the number of cores is not known"),
            (result({"mongodb": 2.0}, window=Window(1.0, 1.4)), 2, "only 0.400 s were measured"),
        ],
    )
    def test_a_bottleneck_without_enough_evidence_is_not_determined(self, thin: Result, cores: float, why: str) -> None:
        found = judge(thin, cores=cores)
        assert (found.determined, found.name) == (False, None)
        assert why in found.because


class TestCapacity:
    PLAN = CellPlan("k", "capacity", {"api_processes": 1})

    @staticmethod
    def answer(high: float | None) -> CapacityAnswer:
        return CapacityAnswer(
            schema_version=2,
            cell="k",
            objective="",
            sustainable_events_per_s=10_000,
            low_events_per_s=9_500,
            high_events_per_s=high,
            confidence=0.95,
            confirmed=True,
            ended="",
        )

    def test_what_is_at_its_limit_just_above_the_answer_is_what_bounds_it(self) -> None:
        above = result({"mongodb": 1.9}, offered_load_events_per_s=11_000.0)
        found = judge(result(), plan=self.PLAN, capacity=self.answer(11_500), beyond=[above])
        assert found.resource == "machine_cpu"
        assert found.because.startswith("at 11,000 events/s, not sustained any more: the machine's CPU 1.90 of 2")

    def test_a_search_that_found_no_end_is_bound_by_what_was_offered(self) -> None:
        found = judge(result(), plan=self.PLAN, capacity=self.answer(None))
        assert found.resource == "offered_load"
        assert "let it offer more" in found.next_why

    def test_where_no_limit_was_reached_above_the_answer_the_reason_of_the_failed_probe_is_named(self) -> None:
        probe = Probe("climb", "not sustained", False, 900.0, 950.0, 220.0, ("the backlog grew",))
        above = result(offered_load_events_per_s=11_000.0, probe=probe)
        found = judge(result(), plan=self.PLAN, capacity=self.answer(11_500), beyond=[above])
        assert not found.determined
        assert "above it: the backlog grew" in found.because


class TestNeighbours:
    """What is at no limit may wait: then a cell with more of one axis tells."""

    @staticmethod
    def measured(consumers: int, low: float, high: float, partitions: int = 3) -> MeasuredCell:
        plan = CellPlan(f"p{partitions}-c{consumers}", "drain", {"consumers": consumers, "partitions": partitions})
        return MeasuredCell(plan, Interval(3, (low + high) / 2, low, high), judge(result(), plan=plan))

    def test_an_axis_that_made_another_cell_faster_is_what_bounded_this_one(self) -> None:
        found, last = neighbours.refine([self.measured(1, 30_000, 32_000), self.measured(2, 40_000, 42_000)])
        assert found is not None
        assert (found.resource, found.determined, found.next_axis) == ("parallelism", True, "consumers")
        assert found.because.startswith("41,000 events/s with 2 consumers, 31,000 here; ")
        assert (found.evidence[-1].value, found.evidence[-1].limit) == (31_000, 41_000)
        assert last is not None
        assert not last.determined

    def test_overlapping_intervals_show_that_an_axis_did_not_help(self) -> None:
        cells = [self.measured(1, 30_000, 41_000), self.measured(2, 40_000, 42_000)]
        found, _ = neighbours.refine(cells)
        assert found is not None
        assert (found.determined, found.next_axis) == (False, "partitions")
        assert "more was not shown to help: 41,000 events/s with 2 consumers, 35,500 here" in found.because
        both, *_ = neighbours.refine([*cells, self.measured(1, 30_000, 33_000, partitions=6)])
        assert both is not None
        assert both.next_axis is None

    def test_cells_without_an_interval_are_not_compared(self) -> None:
        one = self.measured(1, 30_000, 32_000)
        single = [cell._replace(throughput=Interval(1, 31_000)) for cell in (one, self.measured(2, 70_000, 72_000))]
        found, _ = neighbours.refine(single)
        assert found == one.bottleneck

    def test_a_cell_that_differs_in_two_axes_is_not_compared(self) -> None:
        alone = self.measured(1, 30_000, 32_000)
        found, _ = neighbours.refine([alone, self.measured(2, 40_000, 42_000, partitions=6)])
        assert found == alone.bottleneck
