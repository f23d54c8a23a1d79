"""Which cells a scaling curve is fitted through, and why there is none otherwise."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from reports.cells.bottleneck import THIN, Bottleneck
from reports.cells.cells import Cell
from reports.scaling import scaling
from reports.scaling.scaling import Scaling
from tests.unit.reports import made

LEVELS = (1, 2, 3, 4, 6, 8)
BUSY = Bottleneck(resource="machine_cpu", role="mongodb", name="the machine's CPU", determined=True)


def law(n: int) -> float:
    return 10_000 * n / (1 + 0.08 * (n - 1) + 0.004 * n * (n - 1))


def drains(levels: Sequence[int] = LEVELS, repeats: int = 5, **fields: object) -> list[Cell]:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.03, (max(levels) + 1, repeats))
    return [made.drain([law(n) * math.exp(e) for e in noise[n]], consumers=n, partitions=8, **fields) for n in levels]


def only(cells: Sequence[Cell]) -> Scaling:
    (found,) = scaling.group(cells)
    return found


def change(cells: list[Cell], consumers: int, **fields: object) -> list[Cell]:
    return [dataclasses.replace(c, **fields) if c.plan.axes["consumers"] == consumers else c for c in cells]


def test_drains_that_differ_in_their_consumers_are_fitted() -> None:
    found = only(drains())
    assert (found.kind, found.label, found.why) == ("drain", "8 partitions per topic", "")
    assert [level.consumers for level in found.levels] == list(LEVELS)
    assert found.fit is not None
    assert found.fit.sigma.low <= 0.08 <= (found.fit.sigma.high or 1)
    assert json.loads(json.dumps(msgspec.to_builtins(found)))["fit"]["sigma"]["value"] == found.fit.sigma.value


def test_cells_of_other_settings_are_curves_of_their_own() -> None:
    small = drains(batch_max_events=500)
    both = scaling.group([*drains(), *small, made.steady(1_000, [10.0])])
    assert [each.label for each in both] == ["8 partitions per topic, batch 2,000", "8 partitions per topic, batch 500"]
    assert all(each.fit for each in both)


def test_one_number_of_consumers_is_no_question_of_scaling() -> None:
    assert scaling.group(drains([2])) == ()


def test_too_few_levels_cannot_be_fitted() -> None:
    found = only(drains([1, 2, 4]))
    assert found.fit is None
    assert found.why == "cannot fit: too few levels, 3 numbers of consumers of at least 5"


def test_a_saturated_shared_resource_ends_the_levels_that_can_be_used() -> None:
    found = only(change(drains(), 3, bottleneck=BUSY))
    assert found.fit is None
    assert found.why == ("cannot fit: only 2 of 6 levels can be used, not 5; the machine's CPU is saturated at N = 3")
    assert [bool(level.left_out) for level in found.levels] == [False, False, True, True, True, True]


def test_enough_levels_below_saturation_are_fitted_and_the_rest_is_named() -> None:
    found = only(change(drains(), 8, bottleneck=BUSY))
    assert found.fit is not None
    assert found.why == "fitted without: the machine's CPU is saturated at N = 8"


def test_a_worker_at_its_core_is_what_scaling_is_about_and_no_shared_resource() -> None:
    busy = Bottleneck(resource="worker_process", role="worker", name="worker", determined=True)
    assert only([dataclasses.replace(cell, bottleneck=busy) for cell in drains()]).fit is not None


def test_idle_consumers_and_thin_evidence_leave_a_level_out() -> None:
    idle = only(change(change(drains(), 8, idle_consumers=2), 6, idle_consumers=1))
    assert idle.fit is None
    assert "1 consumer of N = 6 had no partition; 2 consumers of N = 8 had no partition" in idle.why
    thin = change(drains(), 8, bottleneck=Bottleneck(resource=THIN, because="only 0.4 s were measured"))
    assert only(thin).why.endswith("saturated at N = 8 is not known: only 0.4 s were measured")


def test_single_repeats_show_no_scatter() -> None:
    found = only(drains(repeats=1))
    assert found.fit is None
    assert "one repeat at N = 1" in found.why


def test_levels_on_no_such_curve_cannot_be_fitted() -> None:
    dent = made.drain([3_000.0, 3_050.0, 3_100.0], consumers=3, partitions=8)
    cells = [dent if cell.plan.axes["consumers"] == 3 else cell for cell in drains()]
    found = only(cells)
    assert found.fit is None
    assert "the levels lie on no such curve" in found.why
    assert "< 0.01" in found.why


@pytest.mark.parametrize(
    ("noise", "levels", "why"),
    [
        (0.6, LEVELS, "the throughput at N = 8 could be anything from "),
        (0.06, (12, 13, 14, 15, 16), "sigma could be anything "),
    ],
)
def test_repeats_that_scatter_too_much_cannot_be_fitted(noise: float, levels: Sequence[int], why: str) -> None:
    rng = np.random.default_rng(5)
    wild = [
        made.drain([law(n) * math.exp(rng.normal(0, noise)) for _ in range(3)], consumers=n, partitions=8)
        for n in levels
    ]
    found = only(wild)
    assert found.fit is None
    assert f"the repeats scatter too much; {why}" in found.why


class TestCapacityCells:
    @staticmethod
    def searched(n: int, **fields: object) -> Cell:
        return made.capacity((law(n), law(n) * 0.96, law(n) * 1.04), consumers=n, partitions=8, **fields)

    def test_sustainable_throughput_is_fitted_by_its_intervals(self) -> None:
        found = only([self.searched(n) for n in LEVELS])
        assert found.fit is not None
        assert found.fit.sigma.value == pytest.approx(0.08, abs=1e-3)

    def test_an_answer_that_is_not_confirmed_or_not_bounded_is_left_out(self) -> None:
        rest = [self.searched(n) for n in LEVELS[:4]]
        unsure = self.searched(6, confirmed=False)
        open_ = made.capacity((law(8), law(8) * 0.9, None), consumers=8, partitions=8)
        found = only([*rest, unsure, open_])
        assert found.fit is None
        assert "the answer at N = 6 was not confirmed" in found.why
        assert "the search at N = 8 gave no interval" in found.why
