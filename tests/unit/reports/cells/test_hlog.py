"""HdrHistogram logs: tags kept, histograms added, damage named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from bundle.errors import BundleError
from reports.cells import hlog
from stats import histograms
from tests.unit.reports.made_bundle import hlog as log_text


def log(path: Path, *lines: dict[str, list[float]]) -> Path:
    path.write_text("".join(log_text({tag: np.array(us) for tag, us in line.items()}) for line in lines))
    return path


def test_tags_are_kept_and_lines_of_one_tag_gathered(tmp_path: Path) -> None:
    read = hlog.read(log(tmp_path / "a", {"write": [5.0], "response_time": [7.0]}, {"write": [9.0]}))
    assert {tag: found.total for tag, found in read.items()} == {"write": 2, "response_time": 1}
    np.testing.assert_allclose(read["write"].values_ms, [0.005, 0.009])


def test_a_pooled_percentile_is_that_of_all_values_and_no_average(tmp_path: Path) -> None:
    quick, slow = [1_000.0] * 900, [100_000.0] * 100
    read = [hlog.read(log(tmp_path / name, {"write": us}))["write"] for name, us in (("q", quick), ("s", slow))]
    pooled = histograms.pool(read)
    assert pooled is not None
    assert pooled.total == 1000
    # The p50s are 1 and 100 ms: their average would be 50.5. Of all thousand values the median is 1 ms.
    assert pooled.quantile(0.5) == pytest.approx(1.0, rel=1e-3)
    assert pooled.quantile(0.9) == pytest.approx(1.0, rel=1e-3)
    assert pooled.quantile(0.901) == pytest.approx(100.0, rel=1e-3)


def test_quantiles_follow_the_samples_within_the_resolution(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).gamma(2, 20_000, 5_000)
    pooled = hlog.read(log(tmp_path / "a", {"write": list(samples)}))["write"]
    shares = np.array([0.1, 0.5, 0.9, 0.99, 0.998])
    expected = np.quantile(samples, shares, method="inverted_cdf") / 1000
    np.testing.assert_allclose(pooled.at(shares), expected, rtol=2e-3)


@pytest.mark.parametrize(("lowest", "digits"), [(1, 3), (1, 2), (1000, 3)])
def test_what_is_read_is_what_the_library_reads(tmp_path: Path, lowest: int, digits: int) -> None:
    rng = np.random.default_rng(5)
    expected = HdrHistogram(lowest, 3_600_000_000, digits)
    lines = []
    for size in (1, 40, 3_000):
        one = HdrHistogram(lowest, 3_600_000_000, digits)
        for value in (rng.lognormal(9, 3, size)).astype(int).tolist():
            one.record_value(value, int(rng.integers(1, 400)))
        expected.add(one)
        lines.append(f"Tag=write,1.000,1.000,0.000,{one.encode().decode()}\n")
    (tmp_path / "a").write_text("".join(lines) + "#[End: 3 intervals]\n")
    read = hlog.read(tmp_path / "a")["write"]
    # The iterator gives one object again and again: its numbers are taken at once.
    there = [(i.value_iterated_to, i.count_at_value_iterated_to) for i in expected.get_recorded_iterator()]
    np.testing.assert_allclose(np.column_stack([read.values_ms * 1000, read.counts]), there)


def test_other_tags_than_those_asked_for_are_not_decoded(tmp_path: Path) -> None:
    path = log(tmp_path / "a", {"write": [5.0], "response_time": [7.0]})
    path.write_text(re.sub(r"(?m)^(Tag=write,.*,)[^,]+$", r"\1HISTnonsense", path.read_text()))
    with pytest.raises(BundleError, match="no HdrHistogram in it"):
        hlog.read(path)
    assert list(hlog.read(path, ("response_time",))) == ["response_time"]


def test_an_interval_without_values_adds_nothing(tmp_path: Path) -> None:
    line = f"Tag=write,1,1,0,{HdrHistogram(1, 1000, 3).encode().decode()}"
    (tmp_path / "a").write_text(f"{line}\n#[End: 1 intervals]\n")
    assert hlog.read(tmp_path / "a") == {}


def test_nothing_recorded_pools_to_nothing() -> None:
    assert histograms.pool([]) is None


@pytest.mark.parametrize(
    "line", ["Tag=write,1,1,1,HISTnonsense", "Tag=write,1,1,1,!!!", "Tag=write,1,1", "Tag=write,1,1,1,HISTFAAAABk="]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a"
    path.write_text(f"#[comment]\n{line}\n")
    with pytest.raises(BundleError, match="line 2"):
        hlog.read(path)


def test_a_log_that_is_cut_off_between_two_lines_is_an_error(tmp_path: Path) -> None:
    path = log(tmp_path / "a", {"write": [5.0], "response_time": [7.0]})
    assert set(hlog.read(path)) == {"write", "response_time"}
    lines = path.read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        path.write_text("".join(lines[:kept]))
        with pytest.raises(BundleError, match="is cut off"):
            hlog.read(path)
