"""Two bundles in, verdicts, findings, warnings and files out."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.__main__ import main
from bundle import reading
from reports.comparison import comparing, page, texts, words
from reports.errors import ComparisonError
from reports.ratios.outcome import CellComparison, Comparison, Rules
from stats.inference import Verdict
from tests.unit.reports.made_bundle import Cell, Plan, write
from tests.unit.reports.made_pair import DRAIN, OTHER_DRAIN, STEADY, Pair, rewrite, write_pair
from tests.unit.reports.page.test_page import Words, make, sections

PROBES = (("climb", 10_000.0, True),)


def compare(base: Path, new: Path, rules: Rules | None = None) -> Comparison:
    return comparing.compare(reading.load(base), reading.load(new), rules or Rules())


def only_cell(comparison: Comparison) -> CellComparison:
    (cell,) = comparison.cells
    return cell


@pytest.mark.parametrize(
    ("speed", "noise", "verdict", "code"),
    [(0.8, 0.02, "slower", 1), (1.25, 0.02, "faster", 0), (1.0, 0.005, "same", 0), (1.0, 0.2, "cannot tell", 0)],
)
def test_a_cell_gets_its_verdict_and_only_a_slower_one_is_a_regression(
    tmp_path: Path, speed: float, noise: float, verdict: Verdict, code: int
) -> None:
    found = compare(*write_pair(tmp_path, Pair(speed={DRAIN.id: speed}, noise=noise)))
    assert (only_cell(found).verdict, found.exit_code) == (verdict, code)


def test_ratios_are_above_one_where_new_is_better_whatever_the_measure(tmp_path: Path) -> None:
    speed = {DRAIN.id: 1.3, STEADY.id: 1.3}
    found = compare(*write_pair(tmp_path, Pair([DRAIN, STEADY], speed=speed)))
    assert [cell.primary.measure.name for cell in found.cells] == ["throughput", "delivery_latency_p99"]
    assert [cell.primary.ratio for cell in found.cells] == [pytest.approx(1.3, rel=0.03)] * 2
    assert [cell.verdict for cell in found.cells] == ["faster", "faster"]


def test_the_ratio_of_a_pair_is_that_of_its_round(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair(rounds=3, noise=0.1))

    def throughput_of(run: Path, number: int) -> float:
        return json.loads((run / f"cells/{DRAIN.id}/{number}/result.json").read_text())["throughput_events_per_s"]

    expected = math.exp(sum(math.log(throughput_of(new, each) / throughput_of(base, each)) for each in (1, 2, 3)) / 3)
    assert only_cell(compare(base, new)).primary.ratio == pytest.approx(expected)


def test_a_round_that_is_void_in_one_run_is_left_out_and_reported(tmp_path: Path) -> None:
    void = {(DRAIN.id, 2): 3}
    found = compare(*write_pair(tmp_path, Pair(new_plan={"void": void})))
    assert only_cell(found).primary.rounds == 11
    assert any("valid repeat of the other run is missing: drain 3\u00a0\u00d7\u00a01 1" in w for w in found.warnings)


def test_a_p99_that_is_not_gated_in_everywhere_makes_way_for_the_p50(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair([STEADY], rounds=9, speed={STEADY.id: 1.5}))
    rewrite(new / f"cells/{STEADY.id}/4/result.json", lambda result: result["delivery_latency_ms"].update(p99=None))
    cell = only_cell(compare(base, new))
    assert (cell.primary.measure.name, cell.verdict) == ("delivery_latency_p50", "faster")
    assert "delivery_latency_p99" in [other.measure.name for other in cell.beside]


def test_too_few_rounds_give_no_verdict_and_the_number_needed_is_named(tmp_path: Path) -> None:
    found = compare(*write_pair(tmp_path, Pair(rounds=5, speed={DRAIN.id: 0.5})))
    cell = only_cell(found)
    assert (cell.verdict, found.exit_code) == ("cannot tell", 0)
    assert "5 rounds cannot bring p below 0.062" in cell.why
    assert cell.why.endswith("no change can be seen, however large, with fewer than 6 rounds")
    assert cell.rounds_to_tell is not None
    assert cell.rounds_to_tell >= 6
    assert "fewer than 6 rounds show none" in words.sentence(found)


def test_one_round_has_no_spread_and_no_verdict(tmp_path: Path) -> None:
    cell = only_cell(compare(*write_pair(tmp_path, Pair(rounds=1))))
    assert (cell.verdict, cell.primary.p, cell.rounds_to_tell) == ("cannot tell", None, None)
    assert "a spread needs two rounds" in cell.why


def test_runs_made_one_after_the_other_are_not_paired_and_warned_of(tmp_path: Path) -> None:
    apart = compare(*write_pair(tmp_path / "a", Pair(interleaved=False, speed={DRAIN.id: 0.8})))
    together = compare(*write_pair(tmp_path / "b", Pair(speed={DRAIN.id: 0.8})))
    assert "drift of the machine between them is not excluded" in apart.warnings[0]
    assert together.warnings == ()
    assert only_cell(apart).primary.smallest_p != only_cell(together).primary.smallest_p
    assert only_cell(apart).verdict == "slower"


def test_environments_that_differ_are_named_in_a_warning(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair())
    rewrite(new / "manifest.json", lambda manifest: manifest.update(kernel="Linux 6.9.9 x86_64"))
    (warning,) = compare(base, new).warnings
    assert warning == "The environments differ: kernel: Linux 6.1.0 x86_64 in BASE, Linux 6.9.9 x86_64 in NEW."


def test_what_an_interleaved_pair_was_made_to_differ_in_is_listed_without_a_warning(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair())
    rewrite(new / "manifest.json", lambda manifest: manifest["cells"][0]["axes"].update(batch_max_events=500))
    found = compare(base, new)
    differing = [(fact.name, fact.base, fact.new) for fact in found.environment if fact.differs]
    assert ("variant", ".", "batch_max_events=500") in differing
    assert ("axis batch_max_events of drain-p3-c1", "2,000", "500") in differing
    assert found.warnings == ()


def test_other_servers_on_one_side_of_an_interleaved_pair_are_what_was_asked_for(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair())

    def on_zookeeper(manifest: dict[str, Any]) -> None:
        manifest["versions"].update(kafka="3.9.2", zookeeper="3.8.4")
        manifest["cells"][0]["axes"].update({"coordination": "zookeeper", "kafka.num.io.threads": 2})

    rewrite(base / "manifest.json", lambda manifest: manifest["versions"].update(kafka="4.3.1"))
    rewrite(new / "manifest.json", on_zookeeper)
    found = compare(base, new)
    differing = {fact.name: (fact.base, fact.new) for fact in found.environment if fact.differs}
    assert differing["version of kafka"] == ("4.3.1", "3.9.2")
    assert differing["version of zookeeper"] == (None, "3.8.4")
    assert differing["axis kafka.num.io.threads of drain-p3-c1"] == ("–", "2")
    assert found.warnings == ()


def test_loads_that_are_not_the_same_are_not_compared(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair([STEADY], speed={STEADY.id: 2.0}))
    for path in new.glob("cells/*/*/result.json"):
        rewrite(path, lambda result: result.update(offered_load_events_per_s=15_000.0))
    cell = only_cell(compare(base, new))
    assert cell.verdict == "cannot tell"
    assert "the offered loads are not the same (20,000 and 15,000 events/s)" in cell.why


def test_a_new_finding_is_a_regression_and_one_that_base_has_too_is_not(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair(noise=0.005))
    for run, lost in ((base, 12), (new, 7)):
        text = f"{lost} accepted and then lost (stream/sequence 0/{lost})"
        rewrite(run / f"cells/{DRAIN.id}/2/result.json", lambda result, text=text: result.update(findings=[text]))
    found = compare(base, new)
    assert [(each.base, each.new, each.is_new) for each in found.findings] == [(1, 1, False)]
    assert found.exit_code == 0
    rewrite(new / f"cells/{DRAIN.id}/3/result.json", lambda result: result.update(findings=["3 stored twice"]))
    found = compare(base, new)
    assert [each.text for each in found.new_findings] == ["3 stored twice"]
    assert found.exit_code == 1
    assert words.sentence(found).startswith("NEW has 1 finding that BASE does not have: 3 stored twice (drain-p3-c1)")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ((26_000, 25_000, 27_000), "faster"),
        ((14_000, 13_000, 15_000), "slower"),
        ((21_000, 19_000, 23_000), "cannot tell"),
        ((20_100, 19_950, 20_250), "same"),
        (None, "cannot tell"),
    ],
)
def test_of_two_searches_the_intervals_decide(
    tmp_path: Path, answer: tuple[float, float, float] | None, verdict: str
) -> None:
    narrow = verdict == "same"
    ours = (20_000.0, 19_900.0 if narrow else 18_000.0, 20_100.0 if narrow else 22_000.0)
    cell = only_cell(searched(tmp_path, ours, answer))
    assert cell.verdict == verdict
    if answer is not None:
        assert "; the limit lies at " in cell.why


def searched(
    folder: Path, base: tuple[float, float, float] | None, new: tuple[float, float, float] | None, **of_new: object
) -> Comparison:
    """Two runs of one search each: answer, and the ends of its interval; ``of_new``: more of NEW's answer."""
    name = "capacity-p3-c1"
    runs = [
        write(folder, Plan([Cell(name, "capacity", probes=PROBES, sustainable=found)], requests=50), side)
        for side, found in (("base", base), ("new", new))
    ]
    if of_new:
        rewrite(runs[1] / f"cells/{name}/capacity.json", lambda capacity: capacity.update(of_new))
    return compare(*runs)


def test_ratio_and_interval_of_two_searches_are_of_what_their_probes_leave_plausible(tmp_path: Path) -> None:
    """The confirmed answer is a step of the search: here it is half, and the limit is the same."""
    found = searched(tmp_path, (20_000, 18_000, 22_000), (10_000, 18_000, 22_000), median_events_per_s=20_000)
    of = only_cell(found).primary
    assert of.ratio == pytest.approx(20_000 / math.sqrt(18_000 * 22_000))
    assert of.low is not None
    assert of.high is not None
    assert math.sqrt(of.low * of.high) == pytest.approx(of.ratio)
    assert math.log(of.high / of.low) == pytest.approx(math.sqrt(2) * math.log(22 / 18), rel=1e-3)
    assert only_cell(found).smallest_effect == pytest.approx(0.26, abs=0.02)


def test_an_answer_that_was_not_confirmed_is_said_and_one_without_an_interval_is_not_compared(tmp_path: Path) -> None:
    unsure = only_cell(searched(tmp_path / "a", (9e3, 8e3, 1e4), (2e4, 1.9e4, 2.1e4), confirmed=False))
    assert "19,000 to 21,000 events/s, its answer not confirmed, in NEW" in unsure.why
    open_ = only_cell(searched(tmp_path / "b", (9e3, 8e3, 1e4), (2e4, 1.9e4, 2.1e4), high_events_per_s=None))
    assert (open_.verdict, open_.primary.p) == ("cannot tell", None)
    assert open_.why == (
        "the probes of NEW bound the limit on one side only: 8,000 to 10,000 events/s in BASE, above 19,000 events/s "
        "in NEW"
    )


def test_cells_of_one_run_only_are_named_and_none_in_common_is_bad_usage(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair([DRAIN, OTHER_DRAIN], rounds=2, new_plan={"cells": [DRAIN]}))
    found = compare(base, new)
    assert (len(found.cells), found.only_base, found.only_new) == (1, (OTHER_DRAIN.id,), ())
    assert f"In BASE only: {OTHER_DRAIN.id}." in found.warnings
    other = write(tmp_path, Plan([STEADY], rounds=1, requests=50), "other")
    with pytest.raises(ComparisonError, match="no cell in common"):
        compare(base, other)
    with pytest.raises(ComparisonError, match="name two runs"):
        compare(base, base)


def test_the_page_is_one_file_with_both_runs_and_needs_no_network(tmp_path: Path) -> None:
    html = page.make(compare(*write_pair(tmp_path, Pair([DRAIN, STEADY], speed={DRAIN.id: 0.7}))))
    assert sections(html) == ["ratios", "rounds", "beside", "findings", "environment", "method", "again"]
    assert re.findall(r"""(?:src|href)=["'](?!#)""", html) == []
    assert 'class="failed"' in html
    text = str(Words(html))
    assert re.findall(r"(?i)(?<!delivery[ -])\blatency\b", text) == []
    assert html.count("<figure ") == 3


def test_what_comes_from_a_bundle_is_escaped(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair(rounds=2))
    rewrite(
        new / f"cells/{DRAIN.id}/1/result.json", lambda result: result.update(findings=["<script>alert(1)</script>"])
    )
    assert "<script" not in page.make(compare(base, new))


def test_the_page_is_made_of_cells_without_a_ratio_too(tmp_path: Path) -> None:
    nothing = {"crashed": {(DRAIN.id, each) for each in (1, 2)}}
    found = compare(*write_pair(tmp_path, Pair(rounds=2, new_plan=nothing)))
    assert "cannot tell" in page.make(found)
    json.loads(texts.to_json(found))


def test_what_a_void_attempt_found_is_not_a_finding_and_the_cell_says_why_it_has_no_verdict(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair(rounds=2))
    for file in new.glob("cells/*/*/result.json"):
        void = {"valid": False, "reasons": ["the repeat did not end"], "findings": ["1,721 events rejected"]}
        rewrite(file, lambda result, void=void: result.update(void))
    found = compare(base, new)
    assert (found.findings, found.exit_code) == ((), 0)
    assert only_cell(found).why == ("NEW has no valid repeat: 2 attempts void, the last because the repeat did not end")


def missed(runs: tuple[Path, Path], in_base: int, in_new: int) -> Comparison:
    """Compare a pair of which so many repeats missed the objective."""
    text = "objective missed: delivery latency p99 1,400.0 ms > 1000 ms"
    for run, count in zip(runs, (in_base, in_new), strict=True):
        for number in range(1, count + 1):
            file = run / f"cells/{STEADY.id}/{number}/result.json"
            rewrite(file, lambda result: result.update(findings=[text]))
    return compare(*runs)


@pytest.mark.parametrize(("in_base", "in_new", "code"), [(0, 1, 0), (1, 2, 0), (0, 5, 1), (1, 6, 1), (5, 0, 0)])
def test_an_objective_missed_now_and_then_is_judged_by_how_many_repeats_miss_it(
    tmp_path: Path, in_base: int, in_new: int, code: int
) -> None:
    found = missed(write_pair(tmp_path, Pair([STEADY], rounds=6)), in_base, in_new)
    (change,) = found.findings
    assert (found.exit_code, change.is_new) == (code, bool(code))
    assert change.counts.startswith(f"{in_base} of 6 repeats of BASE, {in_new} of 6 repeats of NEW: p ")


def test_an_objective_missed_in_a_cell_that_base_never_measured_is_not_a_regression(tmp_path: Path) -> None:
    runs = write_pair(tmp_path, Pair([DRAIN], rounds=6, new_plan={"cells": [DRAIN, STEADY]}))
    found = missed(runs, 0, 6)
    assert [(each.is_new, each.counts) for each in found.findings] == [
        (False, "no valid repeat in BASE, 6 of 6 repeats of NEW")
    ]
    assert found.exit_code == 0


def test_cells_of_a_kind_show_together_what_none_of_them_can_show(tmp_path: Path) -> None:
    cells = [Cell(f"drain-p3-c{n}", "drain", {"consumers": n}) for n in (1, 2, 3, 4)]
    speed = {cell.id: 0.8 for cell in cells}
    found = compare(*write_pair(tmp_path, Pair(cells, rounds=3, interleaved=False, speed=speed, noise=0.02)))
    assert {cell.verdict for cell in found.cells} == {"cannot tell"}
    (whole,) = found.together
    assert (whole.verdict, whole.label, found.exit_code) == ("slower", "all 4 drain cells", 1)
    assert whole.smallest_effect is not None
    assert words.sentence(found).startswith("All 4 drain cells together: NEW is slower (throughput: ratio 0.79")
    assert "fewer than 5 rounds show none" in words.sentence(found)
    assert [cell.smallest_effect for cell in found.cells] == [None] * 4
    assert all("with fewer than 5 rounds of each run" in cell.why for cell in found.cells)
    assert "all 4 drain cells" in page.make(found)
    assert json.loads(texts.to_json(found))["together"][0]["verdict"] == "slower"


def test_cells_with_one_reason_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*write_pair(tmp_path, Pair([DRAIN, OTHER_DRAIN], rounds=3))) == 0
    printed = capsys.readouterr().out
    assert printed.count("3 rounds cannot bring p below") == 1
    assert "drain 3\u00a0\u00d7\u00a01, drain 3\u00a0\u00d7\u00a02: cannot tell: " in printed


def test_where_nothing_is_shown_each_cell_says_which_change_would_have_been_seen(tmp_path: Path) -> None:
    cell = only_cell(compare(*write_pair(tmp_path, Pair(rounds=6, noise=0.05, interleaved=False))))
    assert cell.verdict == "cannot tell"
    assert cell.smallest_effect is not None
    assert cell.why.endswith(f"; a change of {cell.smallest_effect:.0%} would have been seen")


def test_repeats_without_their_durations_are_one_note_after_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_pair(tmp_path, Pair([STEADY], rounds=6))
    for file in base.glob("cells/*/*/latency.hlog"):
        file.unlink()
    assert run(base, new) == 0
    printed = capsys.readouterr().out
    assert printed.count("latency.hlog is missing") == 1
    verdict, note = printed.split("note: BASE: steady-p3-c1 round 1 and 5 more: ")
    assert "1 cell is the same within 3%." in verdict
    assert note.startswith("latency.hlog is missing")
    found = compare(base, new)
    assert not [warning for warning in found.warnings if "hlog" in warning]
    (row,) = words.primary_table(found).rows
    low, high = min(found.cells[0].primary.base.values()), max(found.cells[0].primary.base.values())
    assert row[3] == f"{low:.0f} to {high:.0f}"


@pytest.mark.parametrize(
    ("speed", "noise", "plain", "strict"), [(1.0, 0.2, 0, 4), (0.8, 0.02, 1, 1), (1.25, 0.02, 0, 0), (1.0, 0.005, 0, 0)]
)
def test_with_strict_cannot_tell_has_its_own_exit_code(
    tmp_path: Path, speed: float, noise: float, plain: int, strict: int, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_pair(tmp_path, Pair(speed={DRAIN.id: speed}, noise=noise))
    assert run(base, new) == plain
    assert "--strict" not in capsys.readouterr().out
    assert run(base, new, "--strict") == strict
    assert ("Exit code 4 (--strict): 1 cell cannot be decided." in capsys.readouterr().out) == (strict == 4)


def test_json_says_everything_that_a_program_needs(tmp_path: Path) -> None:
    written = json.loads(texts.to_json(compare(*write_pair(tmp_path, Pair(speed={DRAIN.id: 0.8})))))
    assert (written["schema_version"], written["regression"], written["interleaved"]) == (1, True, True)
    (cell,) = written["cells"]
    assert (cell["cell"], cell["verdict"], cell["primary"]["measure"]) == (DRAIN.id, "slower", "throughput")
    assert len(cell["primary"]["base_by_round"]) == len(cell["primary"]["new_by_round"]) == 12


def test_the_report_of_one_run_of_a_pair_says_which_variant_it_is(tmp_path: Path) -> None:
    _, new = write_pair(tmp_path, Pair(rounds=2))
    text = str(Words(make(new).html))
    assert "variant batch_max_events=500 interleaved with 20261122-base" in text


def run(*arguments: str | Path) -> int:
    return main(["compare", *map(str, arguments)])


def test_the_command_writes_the_page_beside_new_and_what_else_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_pair(tmp_path, Pair(speed={DRAIN.id: 0.8}))
    files = ["--markdown", tmp_path / "c.md", "--json", tmp_path / "c.json"]
    assert run(base.name, new.name, "--runs", tmp_path, *files) == 1
    printed = capsys.readouterr().out
    assert "NEW is slower: drain 3\u00a0\u00d7\u00a01 (throughput: ratio 0." in printed
    assert f"written: {new / 'compare.html'}" in printed
    assert (new / "compare.html").read_text().startswith("<!doctype html>")
    markdown = (tmp_path / "c.md").read_text()
    assert markdown.startswith("## Regression: 20261122-new against 20261122-base")
    assert "| drain 3\u00a0\u00d7\u00a01 | throughput, events/s | slower |" in markdown
    assert json.loads((tmp_path / "c.json").read_text())["regression"]


def test_no_regression_exits_0_and_bad_usage_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = write_pair(tmp_path, Pair(rounds=3))
    assert run(base, new, "--html", tmp_path / "elsewhere.html") == 0
    assert not (new / "compare.html").exists()
    for wrong in ([base, tmp_path / "none"], [base, base], [base, new, "--floor", "20%"], [base, new, "--html", "/"]):
        assert run(*wrong) == 2
    printed = capsys.readouterr().err
    assert "is no run" in printed
    assert "has to be larger than the floor" in printed
    assert "cannot be written" in printed


def test_the_floor_is_what_was_asked_for(tmp_path: Path) -> None:
    base, new = write_pair(tmp_path, Pair(speed={DRAIN.id: 0.95}, noise=0.005))
    assert only_cell(compare(base, new)).verdict == "slower"
    assert only_cell(compare(base, new, Rules(floor=0.08, effect=0.2))).verdict == "same"


def dearer_worker(tmp_path: Path) -> tuple[Path, Path]:
    """A pair whose NEW runs as fast, with workers that need 1.3 times the CPU."""
    base, new = write_pair(tmp_path, Pair([DRAIN, STEADY]))
    rng = np.random.default_rng(5)
    for run, factor in ((base, 1.0), (new, 1.3)):
        for path in sorted(run.glob("cells/*/*/result.json")):
            spent = {"api": 0.4, "kafka": 0.3, "mongodb": 1.0, "worker": 0.5 * factor}
            noisy = {role: cores * rng.lognormal(0, 0.02) for role, cores in spent.items()}
            rewrite(path, lambda result, cores=noisy: result.update(cpu_cores_per_role=cores))
    return base, new


def test_a_worker_that_needs_more_cpu_is_a_regression_where_that_is_judged(tmp_path: Path) -> None:
    runs = dearer_worker(tmp_path)
    assert compare(*runs).exit_code == 0
    found = compare(*runs, Rules(cpu=True))
    assert found.exit_code == 1
    names = {cell.primary.measure.name for cell in found.with_verdict("slower")}
    assert "worker_cpu_s_per_100k_events" in names
    assert "api_cpu_s_per_100k_events" not in names
    assert found.tested == 7  # two primary measures, worker and all roles in both, API in the steady one
    assert all(other.measure.name != "cpu_s_per_100k_events" for cell in found.cells for other in cell.beside)
    (worker,) = (one for one in found.cells[0].beside if one.measure.name == "worker_cpu_by_servers")
    assert worker.ratio == pytest.approx(1 / 1.3, rel=0.05)
    text = texts.to_markdown(found)
    assert "drain 3\u00a0\u00d7\u00a01, CPU of worker for 100k events" in text
    assert "in every measure" in words.rounds_needed(found) or "measures" in words.rounds_needed(found)
    assert "CPU of worker" in page.make(found)
