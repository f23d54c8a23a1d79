"""Which limit is named, on which evidence."""

from __future__ import annotations

from msgspec import structs

from reports.bottleneck import name_bottleneck
from reports.schema import CellPlan, Consumer, Disturbance, Result

PLAN = CellPlan("c", "drain", {"api_processes": 1, "generator_processes": 1})


def result(*idle: bool) -> Result:
    consumers = tuple(Consumer(f"worker-{n}", idle=is_idle) for n, is_idle in enumerate(idle))
    return Result(schema_version=2, cell="c", kind="drain", round=1, valid=True, consumers=consumers)


def test_a_busy_machine_is_the_limit_and_its_greatest_user_is_named() -> None:
    found = name_bottleneck(PLAN, [result(False)], {"kafka": 0.2, "worker": 0.4, "mongodb": 1.3}, {}, 2)
    assert found is not None
    assert found.name == "MongoDB"
    assert "1.90 of 2 cores used" in found.evidence


def test_a_worker_that_fills_its_core_is_the_limit_of_a_large_machine() -> None:
    found = name_bottleneck(PLAN, [result(False)], {"kafka": 0.2, "worker": 0.95, "mongodb": 1.3}, {}, 16)
    assert found is not None
    assert found.name == "worker"
    assert "each worker process uses 0.95 of the one core" in found.evidence


def test_what_other_programs_take_of_the_machine_counts() -> None:
    disturbed = structs.replace(result(False), disturbance=Disturbance(other_programs=0.2))
    found = name_bottleneck(PLAN, [disturbed], {"mongodb": 1.2, "worker": 0.2}, {}, 2)
    assert found is not None
    assert found.name == "MongoDB"
    assert "1.40 of 2 cores used and 0.40 by what is not of the run" in found.evidence


def test_idle_workers_do_not_hide_a_busy_one() -> None:
    found = name_bottleneck(PLAN, [result(False, True, True)], {"worker": 0.95}, {}, 16)
    assert found is not None
    assert found.name == "worker"


def test_without_a_limit_none_is_named_and_the_longest_stage_told() -> None:
    found = name_bottleneck(PLAN, [result(False)], {"worker": 0.2}, {"write": 30.0, "http_and_api": 10.0}, 4)
    assert found is not None
    assert found.name is None
    assert "0.20 of 4 cores used" in found.evidence
    assert "longest stage write, 30.0 of 40.0 ms" in found.evidence


def test_without_cpu_nothing_is_said() -> None:
    assert name_bottleneck(PLAN, [result(False)], {}, {}, 4) is None
    assert name_bottleneck(PLAN, [result(False)], {"worker": 0.0}, {}, 4) is None
