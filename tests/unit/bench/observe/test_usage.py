"""Use of the machine over a window and second by second: per role, and absent where nobody tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bench.observe import usage
from bench.observe.processes import Usage, total
from bench.observe.sampling import ROLES, Machine, Sample

S = 1_000_000_000


def samples(*, io: bool = True, loopback: bool = True) -> tuple[Sample, ...]:
    """Ten seconds of two workers and an API; the second worker works twice as much as the first."""
    return tuple(_sample(second, io=io, loopback=loopback) for second in range(11))


def _sample(second: int, *, io: bool, loopback: bool) -> Sample:
    written = 1_000 * second if io else None
    by_process = {
        "worker": {
            1: Usage(0.1 * second, 0.1 * second, 10, 0, written, 50 * second),
            2: Usage(0.4 * second, 0, 10, 0, 0),
        },
        "api": {3: Usage(0.2 * second, 0.0, 5, 0, 0, 7 * second)},
    }
    used = {role: total(by_process.get(role, {}).values()) for role in ROLES}
    cpu_s = {role: {pid: each.cpu_s for pid, each in by_process.get(role, {}).items()} for role in ROLES}
    return Sample(second * S, 0, used, cpu_s, Machine(second * 1.0, 0.0, 2_000 * second if loopback else None))


def test_each_role_s_use_over_a_window() -> None:
    use = usage.of_window(samples(), 2 * S, 7 * S)
    assert use.cpu_s["worker"] == pytest.approx(3.0)
    assert use.cpu_cores["worker"] == pytest.approx(0.6)
    assert use.cpu_user_cores["worker"] == pytest.approx(0.5)
    assert use.cpu_system_cores["worker"] == pytest.approx(0.1)
    assert use.busiest_process_cores["worker"] == pytest.approx(0.4)
    assert use.context_switches_per_s == {"api": 7.0, "worker": 50.0}
    assert use.write_bytes_per_s["worker"] == 1_000
    assert use.loopback_bytes_per_s == 2_000
    assert use.memory_max_bytes["worker"] == 20


def test_a_role_without_a_process_has_used_nothing_and_has_no_figures() -> None:
    use = usage.of_window(samples(), 0, S)
    assert (use.cpu_s["kafka"], use.cpu_cores["kafka"], use.memory_max_bytes["kafka"]) == (0.0, 0.0, 0)
    for figures in (use.cpu_user_cores, use.busiest_process_cores, use.context_switches_per_s, use.write_bytes_per_s):
        assert set(figures) == {"api", "worker"}


def test_what_the_kernel_does_not_report_is_absent_and_not_zero() -> None:
    use = usage.of_window(samples(io=False, loopback=False), 0, S)
    assert set(use.write_bytes_per_s) == {"api"}
    assert use.loopback_bytes_per_s is None
    columns = usage.columns(samples(io=False, loopback=False), np.arange(3) * S)
    assert "write_bytes_worker" not in columns
    assert "write_bytes_api" in columns
    assert "loopback_bytes" not in columns


def test_a_second_s_busiest_process_may_be_another_than_the_window_s() -> None:
    """Two processes that take turns: in each second one works alone, over both seconds each half of the time."""

    def turn(second: int, first_s: float, second_s: float) -> Sample:
        used = {role: Usage() for role in ROLES} | {"worker": Usage(first_s + second_s)}
        return Sample(second * S, 0, used, {"worker": {1: first_s, 2: second_s}})

    taken: Sequence[Sample] = (turn(0, 0, 0), turn(1, 1, 0), turn(2, 1, 1))
    assert usage.of_window(taken, 0, 2 * S).busiest_process_cores["worker"] == pytest.approx(0.5)
    assert usage.columns(taken, np.arange(3) * S)["busiest_process_cpu_s_worker"].tolist() == [1.0, 1.0]


def test_a_window_without_length_has_used_nothing() -> None:
    use = usage.of_window(samples(), S, S)
    assert use.cpu_cores["worker"] == 0
    assert use.cpu_user_cores == {}
    assert usage.disturbance(samples(), S, S) is None
