"""The search, step by step, on systems that answer without noise."""

import itertools
import math
from collections.abc import Callable

import pytest

from bench.search.search import NextLoad, ProbeOutcome, SearchAnswer, SearchSettings, Verdict, answer, next_step

SETTINGS = SearchSettings(start_events_per_s=10_000)


def _search(
    settings: SearchSettings, verdict_of: Callable[[float], Verdict]
) -> tuple[list[ProbeOutcome], SearchAnswer]:
    probes: list[ProbeOutcome] = []
    while isinstance(step := next_step(settings, probes), NextLoad):
        verdict = verdict_of(step.load_events_per_s)
        probes.append(ProbeOutcome(step.load_events_per_s, verdict, verdict == "sustained", step.step))
        assert len(probes) <= settings.max_probes
    return probes, step


def _capacity(events_per_s: float) -> Callable[[float], Verdict]:
    return lambda load: "sustained" if load <= events_per_s else "not sustained"


def test_a_search_begins_at_the_first_load():
    assert next_step(SETTINGS, []) == NextLoad(10_000, "climb")


@pytest.mark.parametrize("capacity", [3_000, 9_900, 10_000, 23_456, 61_000])
def test_a_search_finds_a_capacity_to_its_resolution(capacity):
    probes, answer = _search(SETTINGS, _capacity(capacity))
    assert answer.confirmed
    assert answer.sustainable_events_per_s is not None
    assert answer.sustainable_events_per_s <= capacity
    assert capacity <= answer.sustainable_events_per_s * (1 + SETTINGS.resolution) * 1.01
    assert answer.low_events_per_s is not None
    assert answer.high_events_per_s is not None
    assert answer.low_events_per_s < capacity < answer.high_events_per_s
    of_answer = [probe for probe in probes if probe.load_events_per_s == answer.sustainable_events_per_s]
    assert len(of_answer) == 1 + SETTINGS.confirmations


def test_the_steps_come_in_their_order():
    probes, _ = _search(SETTINGS, _capacity(23_456))
    steps = [key for key, _ in itertools.groupby(probe.step for probe in probes)]
    assert steps[:3] == ["climb", "bisection", "confirmation"]


def test_where_nothing_is_sustained_it_steps_down_a_few_times_and_determines_nothing():
    probes, answer = _search(SETTINGS, _capacity(0))
    assert len(probes) == 1 + SETTINGS.steps_down
    assert answer.sustainable_events_per_s is None
    assert answer.low_events_per_s is None
    assert answer.high_events_per_s is not None
    assert answer.high_events_per_s < 10_000
    assert not answer.confirmed
    assert answer.ended.startswith("not determined")


def test_where_everything_is_sustained_it_climbs_to_the_highest_load_and_says_at_least():
    settings = SearchSettings(start_events_per_s=10_000, highest_events_per_s=40_000)
    probes, answer = _search(settings, _capacity(math.inf))
    assert max(probe.load_events_per_s for probe in probes) == 40_000
    assert (answer.sustainable_events_per_s, answer.high_events_per_s) == (40_000, None)
    assert answer.confirmed
    assert "no higher load" in answer.ended


def test_what_the_generator_cannot_offer_bounds_what_can_be_measured():
    def verdict_of(load: float) -> Verdict:
        return "void" if load > 30_000 else "sustained"

    _, answer = _search(SETTINGS, verdict_of)
    assert answer.confirmed
    assert answer.sustainable_events_per_s is not None
    assert 28_000 < answer.sustainable_events_per_s <= 30_000
    assert answer.high_events_per_s is None
    assert "the generator could not keep its schedule" in answer.ended


def test_a_void_load_above_the_threshold_does_not_matter():
    def verdict_of(load: float) -> Verdict:
        return "void" if load > 30_000 else _capacity(26_000)(load)

    _, answer = _search(SETTINGS, verdict_of)
    assert answer.high_events_per_s is not None
    assert 26_000 < answer.high_events_per_s < 31_000
    assert "generator" not in answer.ended


def test_where_the_generator_can_offer_nothing_nothing_is_determined():
    _, answer = _search(SETTINGS, lambda _: "void")
    assert answer.sustainable_events_per_s is None
    assert answer.low_events_per_s is None
    assert answer.high_events_per_s is None
    assert "the generator could not keep its schedule" in answer.ended


def test_probes_that_are_void_at_a_load_that_was_valid_are_tried_again_a_few_times():
    times: dict[float, int] = {}

    def once_valid(load: float) -> Verdict:
        times[load] = times.get(load, 0) + 1
        return "void" if times[load] > 1 else _capacity(12_000)(load)

    probes, answer = _search(SETTINGS, once_valid)
    assert not answer.confirmed
    assert answer.sustainable_events_per_s is not None
    assert "something disturbs them" in answer.ended
    assert len(probes) < SETTINGS.max_probes


def test_an_undetermined_load_is_not_sustained():
    def verdict_of(load: float) -> Verdict:
        return "sustained" if load <= 20_000 else "undetermined" if load <= 25_000 else "not sustained"

    _, answer = _search(SETTINGS, verdict_of)
    assert answer.confirmed
    assert answer.sustainable_events_per_s is not None
    assert 19_000 <= answer.sustainable_events_per_s <= 20_000


def test_a_failed_confirmation_steps_down():
    climbed = [
        ProbeOutcome(10_000, "sustained", holds=True, step="climb"),
        ProbeOutcome(15_000, "sustained", holds=True, step="climb"),
        ProbeOutcome(15_700, "not sustained", holds=False, step="bisection"),
    ]
    assert next_step(SETTINGS, climbed) == NextLoad(15_000, "confirmation")
    climbed.append(ProbeOutcome(15_000, "not sustained", holds=False, step="confirmation"))
    assert next_step(SETTINGS, climbed) == NextLoad(14_000, "confirmation")
    climbed.append(ProbeOutcome(14_000, "undetermined", holds=True, step="confirmation"))
    assert next_step(SETTINGS, climbed) == NextLoad(13_100, "confirmation")
    climbed.append(ProbeOutcome(13_100, "not sustained", holds=False, step="confirmation"))
    assert next_step(SETTINGS, climbed) == NextLoad(10_000, "confirmation")


def test_the_cap_on_probes_ends_it_with_what_is_known():
    settings = SearchSettings(start_events_per_s=10_000, max_probes=4)
    probes, answer = _search(settings, _capacity(23_456))
    assert len(probes) == 4
    assert answer.sustainable_events_per_s is not None
    assert not answer.confirmed
    assert "cap of 4 probes" in answer.ended


def test_the_same_probes_give_the_same_step_however_often_it_is_asked():
    probes, answer = _search(SETTINGS, _capacity(23_456))
    for count, probe in enumerate(probes):
        asked = [next_step(SETTINGS, probes[:count]) for _ in range(2)]
        assert asked == [NextLoad(probe.load_events_per_s, probe.step)] * 2
    assert next_step(SETTINGS, list(probes)) == answer


def test_a_higher_load_that_is_sustained_confirms_the_ones_below():
    settings = SearchSettings(start_events_per_s=10_000, confirmations=1, resolution=0.15)
    probes = [
        ProbeOutcome(10_000, "sustained", holds=True, step="climb"),
        ProbeOutcome(12_500, "not sustained", holds=False, step="climb"),
        ProbeOutcome(11_200, "sustained", holds=True, step="bisection"),
        ProbeOutcome(11_200, "not sustained", holds=False, step="confirmation"),
    ]
    found = answer(settings, probes, "time is up")
    assert (found.sustainable_events_per_s, found.confirmed) == (10_000, True)
    assert not answer(settings, probes[:2], "time is up").confirmed


def test_an_answer_far_below_the_highest_load_sustained_is_not_confirmed():
    settings = SearchSettings(start_events_per_s=10_000, confirmations=1)
    climbed = [ProbeOutcome(load, "sustained", holds=True, step="climb") for load in (10_000, 12_500, 20_000)]
    found = answer(settings, climbed, "time is up")
    assert (found.sustainable_events_per_s, found.confirmed) == (20_000, False)


@pytest.mark.parametrize(("hint", "load"), [(None, 8_000), (9_000, 9_000), (9_900, 9_350), (1_000, 5_000)])
def test_a_step_down_goes_where_the_probe_points_within_its_bounds(hint, load):
    first = ProbeOutcome(10_000, "not sustained", holds=False, step="climb", hint_events_per_s=hint)
    assert next_step(SETTINGS, [first]) == NextLoad(load, "climb")


@pytest.mark.parametrize(("hint", "load"), [(None, 12_500), (15_000, 13_500), (10_100, 10_700), (40_000, 20_000)])
def test_a_climb_goes_where_the_probe_points_within_its_step(hint, load):
    first = ProbeOutcome(10_000, "sustained", holds=True, step="climb", hint_events_per_s=hint)
    assert next_step(SETTINGS, [first]) == NextLoad(load, "climb")


def test_an_undetermined_probe_refutes_a_load_only_if_it_was_not_sustained_as_often():
    settings = SearchSettings(start_events_per_s=37_000, confirmations=1, resolution=0.15)
    probes = [
        ProbeOutcome(37_000, "sustained", holds=True, step="climb"),
        ProbeOutcome(39_700, "not sustained", holds=False, step="climb"),
        ProbeOutcome(37_000, "undetermined", holds=True, step="confirmation"),
    ]
    assert next_step(settings, probes) == NextLoad(37_000, "confirmation")
    probes.append(ProbeOutcome(37_000, "sustained", holds=True, step="confirmation"))
    assert answer(settings, probes, "time is up").confirmed
    probes[-1] = ProbeOutcome(37_000, "undetermined", holds=True, step="confirmation")
    assert answer(settings, probes, "time is up").sustainable_events_per_s is None
