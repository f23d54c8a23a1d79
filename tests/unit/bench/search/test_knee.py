"""Where the curve of delivery latency bends."""

from bench.search.knee import KneePoint, knee


def _curve(latency_ms, loads=(2_000, 4_000, 8_000, 12_000, 16_000, 20_000, 24_000)) -> list[KneePoint]:
    return [KneePoint(float(load), latency_ms(load)) for load in loads]


def test_the_knee_is_where_a_flat_curve_begins_to_rise():
    assert knee(_curve(lambda load: 100 if load <= 16_000 else 100 * (load / 16_000) ** 12)) == 16_000


def test_probes_of_one_load_count_as_one():
    points = _curve(lambda load: 100 if load <= 16_000 else 100 * (load / 16_000) ** 12)
    assert knee([*points, *[KneePoint(20_000.0, 1_400.0)] * 3, KneePoint(8_000.0, 100.0)]) == 16_000


def test_a_straight_line_has_no_knee():
    assert knee(_curve(lambda load: load / 100)) is None


def test_a_curve_that_hardly_rises_has_no_knee():
    assert knee(_curve(lambda load: 100 if load <= 16_000 else 150)) is None


def test_a_curve_that_flattens_has_no_knee():
    assert knee(_curve(lambda load: 100 if load < 4_000 else 1_000)) is None


def test_few_loads_show_no_knee():
    points = _curve(lambda load: 100 if load <= 16_000 else 100 * (load / 16_000) ** 12)
    assert knee(points[-4:]) is None
    assert knee([KneePoint(each.load_events_per_s, None) for each in points]) is None
    assert knee([]) is None
