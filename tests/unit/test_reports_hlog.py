"""HdrHistogram logs: tags kept, histograms added, damage told with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reports import hlog
from reports.errors import BundleError
from tests.unit.reports_bundle import hlog as log_text


def log(path: Path, *lines: dict[str, list[float]]) -> Path:
    path.write_text("".join(log_text({tag: np.array(us) for tag, us in line.items()}) for line in lines))
    return path


def test_tags_are_kept_and_lines_of_one_tag_gathered(tmp_path: Path) -> None:
    read = hlog.read(log(tmp_path / "a", {"write": [5.0], "response_time": [7.0]}, {"write": [9.0]}))
    assert {tag: len(found) for tag, found in read.items()} == {"write": 2, "response_time": 1}


def test_a_pooled_percentile_is_that_of_all_values_and_no_average(tmp_path: Path) -> None:
    quick, slow = [1_000.0] * 900, [100_000.0] * 100
    read = [hlog.read(log(tmp_path / name, {"write": us}))["write"][0] for name, us in (("q", quick), ("s", slow))]
    pooled = hlog.pool(read)
    assert pooled is not None
    assert pooled.total == 1000
    # The p50s are 1 and 100 ms: their average would be 50.5. Of all thousand values the median is 1 ms.
    assert pooled.quantile(0.5) == pytest.approx(1.0, rel=1e-3)
    assert pooled.quantile(0.9) == pytest.approx(1.0, rel=1e-3)
    assert pooled.quantile(0.901) == pytest.approx(100.0, rel=1e-3)


def test_quantiles_follow_the_samples_within_the_resolution(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).gamma(2, 20_000, 5_000)
    pooled = hlog.pool(hlog.read(log(tmp_path / "a", {"write": list(samples)}))["write"])
    assert pooled is not None
    shares = np.array([0.1, 0.5, 0.9, 0.99, 0.998])
    expected = np.quantile(samples, shares, method="inverted_cdf") / 1000
    np.testing.assert_allclose(pooled.at(shares), expected, rtol=2e-3)


def test_nothing_recorded_pools_to_nothing() -> None:
    assert hlog.pool([]) is None


@pytest.mark.parametrize("line", ["Tag=write,1,1,1,HISTnonsense", "Tag=write,1,1,1,!!!", "Tag=write,1,1"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a"
    path.write_text(f"#[comment]\n{line}\n")
    with pytest.raises(BundleError, match="line 2"):
        hlog.read(path)
