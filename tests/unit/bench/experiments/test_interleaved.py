"""Two variants of one matrix: how they are read, in which order they are run, and what cannot be compared."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs

from bench.__main__ import main
from bench.cells.cellspec import CellSpec
from bench.errors import MatrixError
from bench.experiments import interleaved
from bench.experiments.interleaved import ComparisonRequest, Side
from bench.kinds import naming
from bench.matrix import matrix
from bench.observe import environment
from bench.run import execution, manifest, plan
from bench.run.plan import PlannedRepeat
from bench.run.progress import Display
from bench.targets import checkout
from bench.targets.cellsettings import settings_for
from bench.targets.target import Setup
from bench.targets.tidemark import Tidemark
from bundle import writing
from bundle.errors import BundleError
from bundle.manifest import Variant
from bundle.result import Result
from pipeline.errors import SettingError, UsageError
from pipeline.settings import Settings

MATRIX = """
name = "pair"
rounds = 40
[[cells]]
kind = "drain"
axes = { partitions = [1, 3], consumers = [1, 2] }
fixed = { driver = "motor" }
[[cells]]
kind = "steady"
offered_load = { share_of_drain = 0.5, at_least = 1000 }
fixed = { linger_ms = 5 }
"""
CHECKOUT = shutil.which("git") is not None and (Path(__file__).parents[4] / ".git").exists()
needs_git = pytest.mark.skipif(not CHECKOUT, reason="needs git and a checkout")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "pair.toml"
    path.write_text(MATRIX)
    return str(path)


def sides(file: str, base: str, new: str, rounds: int | None = None) -> tuple[Side, Side]:
    return interleaved.sides_of(ComparisonRequest(file, base, new, rounds), {}, Settings())


def test_an_axis_is_set_in_every_cell_that_knows_it_and_the_cells_keep_their_names(file: str) -> None:
    base, new = sides(file, ".", "linger_ms=0")
    assert [cell.id for cell in new.matrix.cells] == [cell.id for cell in base.matrix.cells]
    assert {cell.linger_ms for cell in new.matrix.cells if cell.kind == "steady"} == {0}
    assert base.matrix == matrix.load(file)
    assert new.variant == Variant("new", "linger_ms=0", settings={"linger_ms": "0"})


@pytest.mark.parametrize(
    ("given", "field", "value"), [("driver=pymongo", "driver", "pymongo"), ("acks=1", "acks", "1")]
)
def test_words_and_numbers_that_are_words_need_no_quotes(file: str, given: str, field: str, value: str) -> None:
    _, new = sides(file, ".", given)
    assert {getattr(cell, field) for cell in new.matrix.cells if cell.kind == "steady"} == {value}


def test_a_setting_of_the_pipeline_is_set_on_its_side_only(file: str) -> None:
    base, new = sides(file, ".", "PIPELINE_WORKER_WRITES_IN_FLIGHT=1")
    assert (base.settings.worker.writes_in_flight, new.settings.worker.writes_in_flight) == (2, 1)
    assert new.matrix == base.matrix


@needs_git
def test_a_revision_is_known_by_its_commit(file: str) -> None:
    base, new = sides(file, "HEAD", ".")
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607 - git of PATH
    assert (base.variant.git_revision, new.variant.git_revision) == (head, None)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("consumers=3", UsageError, "it varies among the cells of 'pair'"),
        ("offered_load=5000", UsageError, "another question"),
        ("batch_max_event=5", UsageError, "did you mean 'batch_max_events'?"),
        ("batch_max_events=0", MatrixError, "batch_max_events = '0' is impossible"),
        ("batch_max_events=90000", MatrixError, "too few for drain-p1-c1"),
        ("PIPELINE_MONGO_URI=mongodb://elsewhere", UsageError, "the same servers"),
        ("PIPELINE_WORKER_WRITES_IN_FLIGHT=99", SettingError, "PIPELINE_WORKER_WRITES_IN_FLIGHT"),
        ("PIPELINE_WORKER_BATCH_MAX_EVENTS=500", UsageError, "changes nothing in any cell"),
        ("no-such-revision", UsageError, "none of: '.' (the working tree), 'fresh', NAME=VALUE"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_reason(file: str, given: str, error: type, says: str) -> None:
    with pytest.raises(error) as caught:
        sides(file, ".", given)
    assert says in str(caught.value)


def test_an_axis_that_no_cell_knows_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "drains.toml"
    path.write_text('name = "drains"\n[[cells]]\nkind = "drain"\n')
    with pytest.raises(UsageError, match="linger_ms=0 changes nothing"):
        sides(str(path), ".", "linger_ms=0")


def test_the_time_of_a_pair_on_other_servers_counts_every_start(file: str) -> None:
    pair = sides(file, ".", "brokers=3", 4)
    alike = interleaved.whole_s(sides(file, ".", ".", 4))
    turned = sum(
        one != other
        for one, other in itertools.pairwise(
            planned.cell.stack for _, planned in interleaved.order_of([side.matrix for side in pair])
        )
    )
    assert turned >= 5 * 4, "the two of a pair come one after the other"
    assert interleaved.whole_s(pair) >= alike + turned * plan.SERVERS_START_AND_STOP_S


def test_fresh_is_the_working_tree_on_servers_of_its_own_for_every_repeat(file: str, tmp_path: Path) -> None:
    pair = sides(file, ".", "fresh")
    assert [side.variant.git_revision for side in pair] == [None, None]
    assert pair[0].matrix == pair[1].matrix
    asked = interleaved.ComparisonRequest(file, ".", "fresh")
    display, here = Display(plain=True), environment.describe()
    with pytest.raises(UsageError, match="servers of your own"):
        interleaved.execute(asked, pair, out_dir=tmp_path, display=display, environment=here, local=False)
    assert not list(tmp_path.glob("*-base"))


def test_the_rounds_are_what_was_asked_for_and_bounded(file: str) -> None:
    assert sides(file, ".", ".", 7)[0].matrix.rounds == 7
    for rounds in (0, 2_000):
        with pytest.raises(UsageError, match="cannot be run"):
            sides(file, ".", ".", rounds)
    assert main(["compare", "a", "b", "--rounds", "3"]) == 2


def test_each_round_has_every_cell_of_both_the_two_of_a_cell_side_by_side_in_random_order(file: str) -> None:
    pair = [side.matrix for side in sides(file, ".", "linger_ms=0")]
    order = interleaved.order_of(pair)
    assert Counter((planned.cell.id, planned.round, side) for side, planned in order) == Counter(
        (cell.id, number, side) for cell in pair[0].cells for number in range(1, 41) for side in (0, 1)
    )
    twos = list(zip(order[::2], order[1::2], strict=True))
    assert all((a[1].cell.id, a[1].round, a[0]) == (b[1].cell.id, b[1].round, 1 - b[0]) for a, b in twos)
    base_first = sum(first[0] == 0 for first, _ in twos)
    assert 0.35 < base_first / len(twos) < 0.65
    assert order == interleaved.order_of(pair)
    steady = [planned.cell for side, planned in order if side == 1 and planned.cell.kind == "steady"]
    assert {cell.linger_ms for cell in steady} == {0}


def test_both_offer_the_share_of_the_slowest_drain_of_either(file: str, tmp_path: Path) -> None:
    pair = sides(file, ".", "linger_ms=0")
    runs = [begun(tmp_path, side, "ab") for side in pair]
    for of, rate in zip(runs, (50_000.0, 30_000.0), strict=True):
        cell = of.matrix.cells[0]
        folder = of.bundle.start_repeat(cell.id, 1, 1)
        of.bundle.finish_repeat(folder, drained(cell, rate))
    steady = pair[0].matrix.cells[-1]
    assert execution.offer(PlannedRepeat(steady, 1), runs).load_events_per_s == 15_000.0


def test_the_display_names_the_side_of_each_cell_and_the_bundle_does_not(file: str, tmp_path: Path) -> None:
    of = begun(tmp_path, sides(file, ".", "linger_ms=0")[1], "ab")
    planned = of.order[0]
    assert of.shown(planned).cell.id == f"new {planned.cell.id}"
    assert of.as_shown(drained(planned.cell, 1.0)).cell == f"new {planned.cell.id}"
    assert of.order[0].cell.id == planned.cell.id


def test_a_pair_of_which_one_is_missing_is_not_resumed(file: str, tmp_path: Path) -> None:
    for side, other in zip(sides(file, ".", "linger_ms=0"), ("new", "base"), strict=True):
        of = begun(tmp_path, side, "ab")
        of.write(interleaved_with=f"ab-{other}", variant=side.variant)
        of.bundle.close()
    assert interleaved.is_pair(tmp_path / "ab-new")
    shutil.rmtree(tmp_path / "ab-base")
    with pytest.raises(BundleError, match="ab-base is not there, which ab-new was interleaved with"):
        interleaved.resume(tmp_path / "ab-new", display=Display(plain=True), base=Settings(), local=True)


@needs_git
def test_a_revision_is_checked_out_for_as_long_as_it_is_needed_and_its_code_is_what_runs(tmp_path: Path) -> None:
    with checkout.checked_out(checkout.commit_of("HEAD")) as code:
        assert code is not None
        assert "PIPELINE_WORKER_BATCH_MAX_EVENTS" in code.settings
        (code.folder / "pipeline" / "__main__.py").write_text("print('the code of', __file__)\n")
        cell = matrix.load("smoke").cells[0]
        system = Tidemark(Setup(settings_for(Settings(), cell, "name"), tmp_path, code=code))
        (worker,) = system.workers
        worker.start()
        assert worker.wait(30) == 0
        assert f"the code of {code.folder}" in (tmp_path / "logs" / "worker-1.log").read_text()
    assert not code.folder.exists()
    listed = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True).stdout  # noqa: S607 - git of PATH
    assert str(code.folder) not in listed
    with checkout.checked_out(None) as code:
        assert code is None


def test_a_revision_is_asked_to_record_in_the_words_that_it_knows(tmp_path: Path) -> None:
    cell = matrix.load("smoke").cells[0]
    deliveries, lag = "PIPELINE_WORKER_DELIVERIES_PATH", "PIPELINE_WORKER_LOOP_LAG_PATH"
    hook, path = "PIPELINE_OBSERVER", str(tmp_path / "worker-1.log")
    for known, asked in (
        ({hook, deliveries}, {hook: "bench.recorder.recorder:record", "TIDEMARK_RECORDER_DELIVERIES": path}),
        ({deliveries, lag}, {deliveries: path, lag: str(tmp_path / "loop-lag-worker")}),
        ({deliveries}, {deliveries: path}),
    ):
        code = checkout.Checkout(tmp_path, frozenset(known))
        worker = Tidemark(Setup(settings_for(Settings(observer="a:b"), cell, "name"), tmp_path, code=code)).workers[0]
        given = worker._env or {}
        assert {name: given[name] for name in asked} == asked
        assert not {hook, deliveries, lag} - set(asked) & set(given)
        assert ("TIDEMARK_RECORDER_DELIVERIES" in given) is (hook in known)


def begun(root: Path, side: Side, name: str) -> execution.Run:
    """A run of a pair at its beginning."""
    into = writing.create(root, f"{name}-{side.variant.side}")
    order = plan.order(side.matrix)
    as_shown = manifest.begin(
        side.matrix,
        order,
        run_id=into.path.name,
        environment=environment.describe(),
        servers="local",
        command="command",
        started_at=writing.now(),
    )
    of = execution.Run(
        into, as_shown, side.matrix, order, Display(plain=True), side.settings, True, None, side.variant.side
    )
    of.write(status="running")
    return of


def drained(cell: CellSpec, rate: float) -> Result:
    return Result(
        cell=cell.id,
        kind="drain",
        axes=naming.axes_of(cell),
        round=1,
        attempt=1,
        run_number=1,
        started_at="2026-11-22T10:00:00Z",
        valid=True,
        reasons=[],
        findings=[],
        throughput_events_per_s=rate,
    )


def test_the_variant_of_a_manifest_survives_being_written(file: str, tmp_path: Path) -> None:
    side = sides(file, ".", "PIPELINE_WORKER_WRITES_IN_FLIGHT=1")[1]
    of = begun(tmp_path, side, "ab")
    of.write(interleaved_with="ab-base", variant=side.variant)
    read = of.bundle.read_manifest()
    assert (read.interleaved_with, read.variant) == ("ab-base", side.variant)
    assert structs.replace(read, variant=None) != read
