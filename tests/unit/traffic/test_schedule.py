"""The arrival schedule: the same for the same spec, whole over any number of processes, at the rate asked for."""

from itertools import islice, pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic import schedule
from traffic.profile import cumulative_s
from traffic.schedule import Chunk
from traffic.spec import ARRIVALS, PROFILES, LoadSpec, ProfileShape, Traffic

SCENARIOS = ("mixed", "visitors", "sdk", "hostile")
SPECS = st.builds(
    LoadSpec,
    scenario=st.sampled_from(SCENARIOS),
    offered_load_events_per_s=st.floats(1, 20_000),
    arrivals=st.sampled_from(ARRIVALS),
    profile=st.sampled_from(PROFILES),
    duration_s=st.floats(0.1, 6),
    seed=st.integers(0, 1 << 40),
)


def rows(spec: LoadSpec, index: int, count: int) -> list[tuple[int, int, bool]]:
    """Intended moment, events and kind of each request."""
    return [
        row
        for chunk in schedule.requests(spec, index, count)
        for row in zip(chunk.intended_ns.tolist(), chunk.events.tolist(), chunk.batch.tolist(), strict=True)
    ]


def whole(chunks: list[Chunk]) -> tuple[list[int], list[int], list[int]]:
    first = [each for chunk in chunks for each in chunk.first.tolist()]
    events = [each for chunk in chunks for each in chunk.events.tolist()]
    intended_ns = [each for chunk in chunks for each in chunk.intended_ns.tolist()]
    return first, events, intended_ns


@settings(max_examples=60, deadline=None)
@given(SPECS, st.integers(1, 5))
def test_the_processes_parts_are_the_whole(spec: LoadSpec, count: int) -> None:
    parts = [row for index in range(count) for row in rows(spec, index, count)]
    assert sorted(parts) == sorted(rows(spec, 0, 1))


@settings(max_examples=30, deadline=None)
@given(SPECS)
def test_the_same_spec_gives_the_same_schedule(spec: LoadSpec) -> None:
    again = msgspec.json.decode(msgspec.json.encode(spec), type=LoadSpec)
    assert rows(spec, 0, 2) == rows(again, 0, 2)


@settings(max_examples=40, deadline=None)
@given(SPECS, st.integers(1, 4))
def test_sequences_have_no_gap_and_moments_ascend_within_the_duration(spec: LoadSpec, count: int) -> None:
    first, events, intended_ns = whole(list(schedule.requests(spec, count - 1, count)))
    assert first == np.concatenate([[0], np.cumsum(events)[:-1]]).astype(int).tolist() if events else not first
    assert all(earlier <= later for earlier, later in pairwise(intended_ns))
    assert all(0 <= each <= spec.duration_s * 1e9 for each in intended_ns)
    assert schedule.offered(spec, count - 1, count) == sum(events)


def test_another_seed_gives_another_schedule() -> None:
    spec = LoadSpec(duration_s=2)
    assert rows(spec, 0, 1) != rows(msgspec.structs.replace(spec, seed=2), 0, 1)


def test_the_run_number_changes_nothing_but_the_identities() -> None:
    spec = LoadSpec(duration_s=2)
    assert rows(spec, 0, 1) == rows(msgspec.structs.replace(spec, run=77), 0, 1)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_offered_load_is_what_was_asked_for(scenario: str, arrivals: str, profile: str) -> None:
    text = {"scenario": scenario, "arrivals": arrivals, "profile": profile}
    fields = {"offered_load_events_per_s": 20_000.0, "duration_s": 40.0}
    spec = msgspec.convert({**text, **fields}, LoadSpec)
    # By definition of each profile, with its default parameters.
    factor = {"constant": 1.0, "ramp": 0.55, "step": 0.6, "spike": 1.6, "diurnal": 1.0}[profile]
    expected = 20_000 * 40 * factor
    # Batches: about 6,400 of them, their sizes stratified; Poisson's deviation is 1.3% then, the limit four of it.
    exact = arrivals == "constant" and scenario in ("visitors", "hostile")
    assert schedule.offered(spec, 0, 1) == pytest.approx(expected, rel=0.0001 if exact else 0.055)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("period_s", [0.0, 7.0])
def test_each_second_has_the_load_of_its_profile(profile: str, period_s: float) -> None:
    shape = ProfileShape(period_s=period_s)
    spec = msgspec.convert({"scenario": "visitors", "arrivals": "constant", "profile": profile}, LoadSpec)
    spec = msgspec.structs.replace(spec, duration_s=20, offered_load_events_per_s=1000, profile_shape=shape)
    seconds = np.array([row[0] // 1_000_000_000 for row in rows(spec, 0, 1)])
    counted = np.bincount(seconds, minlength=20)
    expected = np.diff(1000 * cumulative_s(spec, np.arange(21.0)))
    # Within one 64th of a second the load counts as constant: a few requests at a stair.
    assert np.abs(counted - expected).max() <= 40
    assert abs(int(counted.sum()) - expected.sum()) <= 1


def factor_at(spec: LoadSpec, at_s: float) -> float:
    around = cumulative_s(spec, np.array([at_s - 0.001, at_s + 0.001]))
    return float((around[1] - around[0]) / 0.002)


@pytest.mark.parametrize(
    ("profile", "at_s", "factor"),
    [
        ("constant", 50, 1),
        ("ramp", 0.002, 0.1),
        ("ramp", 50, 0.55),
        ("ramp", 150, 1),
        ("step", 10, 0.2),
        ("step", 50, 0.6),
        ("step", 150, 1),
        ("spike", 10, 1),
        ("spike", 50, 4),
        ("spike", 70, 1),
        ("spike", 150, 4),
        ("diurnal", 0.002, 0.2),
        ("diurnal", 50, 1.8),
        ("diurnal", 100, 0.2),
    ],
)
def test_the_profiles_are_as_documented(profile: str, at_s: float, factor: float) -> None:
    spec = msgspec.convert({"profile": profile, "profile_shape": {"period_s": 100}}, LoadSpec)
    assert factor_at(spec, at_s) == pytest.approx(factor, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PROFILES), st.floats(0.5, 100), st.lists(st.floats(0, 1000), min_size=2, max_size=50))
def test_no_profile_ever_takes_load_back(profile: str, period_s: float, moments: list[float]) -> None:
    spec = msgspec.convert({"profile": profile, "profile_shape": {"period_s": period_s}}, LoadSpec)
    due = cumulative_s(spec, np.sort(np.array(moments)))
    assert (np.diff(due) >= -1e-9).all()


def test_a_test_without_an_end_gives_its_schedule_bit_by_bit() -> None:
    chunks = list(islice(schedule.requests(LoadSpec(), 0, 1), 20))
    first, events, intended_ns = whole(chunks)
    assert len(chunks) == 20
    assert 19e9 < intended_ns[-1] < 20e9
    assert first[-1] + events[-1] == sum(events)
    with pytest.raises(ValueError, match="until it is stopped"):
        schedule.offered(LoadSpec(), 0, 1)


def test_poisson_arrivals_are_random_and_constant_ones_are_even() -> None:
    spec = LoadSpec(scenario="visitors", offered_load_events_per_s=500, duration_s=20)
    gaps = {
        arrivals: np.diff([row[0] for row in rows(msgspec.structs.replace(spec, arrivals=arrivals), 0, 1)])
        for arrivals in ARRIVALS
    }
    # An exponential gap's standard deviation is its mean.
    assert gaps["poisson"].std() / gaps["poisson"].mean() == pytest.approx(1, abs=0.1)
    assert gaps["constant"].std() / gaps["constant"].mean() < 0.01


def test_batches_have_the_sizes_asked_for_and_visitors_their_share() -> None:
    traffic = Traffic(batch_min_events=20, batch_max_events=200, visitor_share=0.1)
    spec = LoadSpec(offered_load_events_per_s=20_000, duration_s=20, traffic=traffic)
    requests = rows(spec, 0, 1)
    batches = [events for _, events, batch in requests if batch]
    singles = [events for _, events, batch in requests if not batch]
    assert min(batches) == 20
    assert max(batches) == 200
    assert np.mean(batches) == pytest.approx(schedule.mean_batch_events(traffic), rel=0.01)
    assert set(singles) == {1}
    assert len(singles) / (len(singles) + sum(batches)) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("lines", [1, 5, 1000, 12_345])
def test_a_replay_without_duration_sends_each_line_once(count: int, lines: int) -> None:
    spec = LoadSpec(scenario="replay", offered_load_events_per_s=5000, replay_events=lines)
    sent = []
    for index in range(count):
        first, events, _ = whole(list(schedule.requests(spec, index, count)))
        sequences = range(first[-1] + events[-1]) if first else range(0)
        assert all(events)
        sent += [sequence * count + index for sequence in sequences]
    assert sorted(sent) == list(range(lines))


def test_what_was_offered_until_a_stop_is_what_was_due_by_then() -> None:
    spec = LoadSpec(offered_load_events_per_s=500, duration_s=4, seed=3)
    chunks = list(schedule.requests(spec, 0, 2))
    moments, sizes = np.concatenate([each.intended_ns for each in chunks]), np.concatenate([c.events for c in chunks])
    due = list(zip(moments, sizes, strict=True))
    stopped_ns = int(due[len(due) // 2][0])
    assert schedule.offered(spec, 0, 2, stopped_ns) == sum(events for at, events in due if at <= stopped_ns)
    assert schedule.offered(spec, 0, 2, stopped_ns - 1) == sum(events for at, events in due if at < stopped_ns)
    assert schedule.offered(spec, 0, 2, 10**12) == schedule.offered(spec, 0, 2)
    endless = msgspec.structs.replace(spec, duration_s=0)
    assert schedule.offered(endless, 0, 2, stopped_ns) > 0


@pytest.mark.parametrize(("index", "count"), [(1, 1), (-1, 2), (0, 0), (0, 4097)])
def test_an_invalid_process_number_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        next(schedule.requests(LoadSpec(), index, count))
