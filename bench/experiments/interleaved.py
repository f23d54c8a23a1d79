"""Two variants measured in one session: each round has every cell of both, the two of a cell one after the other.

Each has a bundle of its own, ``<run id>-base`` and ``<run id>-new``, whose manifest names the other. Within a round the
cells are in random order and so, by a coin, are the two of each cell: a drift of the machine meets both alike.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from bench import rounds
from bench.experiments import variants
from bench.matrix import matrix
from bench.matrix.matrix import Matrix
from bench.observe import environment
from bench.observe.busy import WhenBusy
from bench.observe.environment import Environment
from bench.run import manifest, plan, run
from bench.run.execution import QueuedRepeat, Run
from bench.run.plan import PlannedRepeat
from bench.run.progress import Display
from bench.run.run import RunOutcome
from bench.targets import checkout
from bench.targets.checkout import Checkout
from bundle import writing
from bundle.errors import BundleError
from bundle.manifest import Manifest, Variant
from bundle.writing import BundleWriter
from pipeline.errors import UsageError
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings

SIDES = ("base", "new")


@dataclass(frozen=True)
class ComparisonRequest:
    """What is to be compared: the matrix, and both sides as the user gave them. ``rounds`` None: the matrix's.

    ``servers``: the options that say which servers are started.
    """

    matrix: str
    base: str
    new: str
    rounds: int | None = None
    servers: tuple[str, ...] = ()

    def command(self) -> str:
        """Return the command that runs it again."""
        rounds = [] if self.rounds is None else ["--rounds", str(self.rounds)]
        sides = [self.matrix, self.base, self.new]
        return shlex.join(["./tidemark", "bench", "compare", "--ab", *sides, *rounds, *self.servers])


@dataclass(frozen=True)
class Side:
    """One side, ready to be run but for its bundle and its code."""

    variant: Variant
    matrix: Matrix
    settings: Settings


def sides_of(
    asked: ComparisonRequest,
    environment: Mapping[str, str],
    base: Settings,
    nodes: int | None = None,
    *,
    stack: StackSpec | None = matrix.LOCAL,
) -> tuple[Side, Side]:
    """Read both sides.

    ``base``: the settings without a variant; both sides use its servers. ``nodes``, ``stack``: as in
    :func:`matrix.load`.

    Raises:
        UsageError, MatrixError, SettingError, MissingPartError: a side cannot be run; the message says why.
    """
    wanted = matrix.load(asked.matrix, api=base.api, nodes=nodes, stack=stack)
    if asked.rounds is not None:
        wanted = variants.with_rounds(wanted, asked.rounds)
    read = [variants.read(side, given) for side, given in zip(SIDES, (asked.base, asked.new), strict=True)]
    one, other = (_side(variant, wanted, environment, base, nodes) for variant in read)
    return one, other


def order_of(sides: Sequence[Matrix]) -> tuple[tuple[int, PlannedRepeat], ...]:
    """Return every repeat of both sides (0 or 1) in the order they are run, decided by the matrix's seed.

    Each pair's coin is its own: that is what the smallest p attainable rests on (docs/method.md).
    """
    cells = [{cell.id: cell for cell in side.cells} for side in sides]
    pairs = ([(side, planned) for side in (0, 1)] for planned in plan.order(sides[0]))
    return tuple(
        (side, PlannedRepeat(cells[side][planned.cell.id], planned.round))
        for side, planned in rounds.neighbours(pairs, rounds.coin(sides[0].seed, "pairs"))
    )


def whole_s(sides: Sequence[Side]) -> float:
    """Return what both sides take in all, in seconds, from nothing but their size; of searches, both have theirs."""
    within_s = [side.matrix.search_s for side in sides if side.matrix.search_s is not None]
    repeats = [planned for _, planned in order_of([side.matrix for side in sides])]
    return plan.of_repeats_s(repeats, sum(within_s) if within_s else None)


def execute(
    asked: ComparisonRequest,
    sides: tuple[Side, Side],
    *,
    out_dir: Path,
    display: Display,
    environment: Environment,
    local: bool,
    when_busy: WhenBusy = "stop",
) -> tuple[RunOutcome, RunOutcome]:
    """Run both sides into two new bundles under ``out_dir``.

    Raises:
        BundleError: a bundle cannot be made.
        UsageError: a side is to start servers, and the others are the user's.
        MissingPartError: Kafka, MongoDB or a revision cannot be had.
    """
    if not local and any(side.variant.given == variants.FRESH for side in sides):
        raise UsageError("fresh cannot be compared on servers of your own: it starts and stops some for every repeat")
    run_id = writing.new_run_id(sides[0].matrix.name)
    servers = "local" if local else manifest.where(sides[0].settings)
    order = order_of([side.matrix for side in sides])
    with contextlib.ExitStack() as stack:
        checkouts = [stack.enter_context(checkout.checked_out(side.variant.git_revision)) for side in sides]
        bundles = _create(out_dir.resolve(), run_id)  # the checkouts' processes run elsewhere: no relative paths
        names = [each.path.name for each in bundles]
        runs = []
        for place, (side, into) in enumerate(zip(sides, bundles, strict=True)):
            own = tuple(planned for which, planned in order if which == place)
            written = manifest.begin(
                side.matrix,
                own,
                run_id=names[place],
                environment=environment,
                servers=servers,
                command=asked.command(),
                started_at=writing.now(),
            )
            written = structs.replace(written, interleaved_with=names[1 - place], variant=side.variant)
            runs.append(_run(into, written, side, own, display, local=local, code=checkouts[place]))
        return _carry_out(runs, order, when_busy)


def is_pair(run_dir: Path) -> bool:
    """Say whether the run in ``run_dir`` is one of two that were made together."""
    if not (run_dir / "manifest.json").is_file():
        return False
    with contextlib.closing(BundleWriter(run_dir)) as read:
        return read.read_manifest().interleaved_with is not None


def resume(
    run_dir: Path, *, display: Display, base: Settings, local: bool, when_busy: WhenBusy = "stop"
) -> tuple[RunOutcome, RunOutcome]:
    """Go on with both runs of a pair, of which ``run_dir`` is one.

    Raises:
        BundleError: the other is not beside it, another process works on them, or they began with other code or on
            another machine.
        MissingPartError: Kafka, MongoDB or a revision cannot be had.
    """
    with contextlib.ExitStack() as stack:
        bundles = _open(run_dir.resolve())
        for each in bundles:
            stack.callback(each.close)
        manifests = [each.read_manifest() for each in bundles]
        here = environment.describe()
        for written in manifests:
            manifest.expect_the_same(written, here)
            manifest.expect_the_same_servers(written, local=local)
        sides = [_side_again(manifest, base) for manifest in manifests]
        checkouts = [stack.enter_context(checkout.checked_out(side.variant.git_revision)) for side in sides]
        order = order_of([side.matrix for side in sides])
        runs = [
            _run(
                bundles[place],
                manifests[place],
                side,
                tuple(planned for which, planned in order if which == place),
                display,
                local=local,
                code=checkouts[place],
            )
            for place, side in enumerate(sides)
        ]
        return _carry_out(runs, order, when_busy)


def _side(
    variant: Variant, wanted: Matrix, environment: Mapping[str, str], base: Settings, nodes: int | None = None
) -> Side:
    own = variants.matrix_of(variant, wanted, base.api, nodes)
    settings = structs.replace(variants.settings_of(variant, environment, own.cells), local=base.local)
    return Side(variant, own, settings)


def _side_again(written: Manifest, base: Settings) -> Side:
    """Read a side from its manifest."""
    if written.variant is None:
        raise BundleError(f"{written.run_id} does not say which variant it measured: measure the pair again")
    wanted = matrix.parse(written.matrix.text, f"the matrix of {written.run_id}", stack=manifest.base_stack(written))
    wanted = variants.with_rounds(wanted, written.matrix.rounds)
    return _side(written.variant, wanted, os.environ, base)


def _create(out_dir: Path, run_id: str) -> tuple[BundleWriter, BundleWriter]:
    one = writing.create(out_dir, f"{run_id}-{SIDES[0]}")
    try:
        return one, writing.create(out_dir, f"{run_id}-{SIDES[1]}")
    except BaseException:
        one.close()
        raise


def _open(run_dir: Path) -> tuple[BundleWriter, BundleWriter]:
    """Take hold of both bundles of a pair, base first."""
    one = BundleWriter(run_dir)
    try:
        written = one.read_manifest()
        other = BundleWriter(_beside(run_dir, written))
    except BaseException:
        one.close()
        raise
    is_base = written.variant is not None and written.variant.side == SIDES[0]
    return (one, other) if is_base else (other, one)


def _beside(run_dir: Path, written: Manifest) -> Path:
    path = run_dir.parent / str(written.interleaved_with)
    if not (path / "manifest.json").is_file():
        raise BundleError(f"{path} is not there, which {run_dir.name} was interleaved with: put it beside it")
    return path


def _run(
    into: BundleWriter,
    written: Manifest,
    side: Side,
    order: tuple[PlannedRepeat, ...],
    display: Display,
    *,
    local: bool,
    code: Checkout | None,
) -> Run:
    fresh = side.variant.given == variants.FRESH
    return Run(into, written, side.matrix, order, display, side.settings, local, code, side.variant.side, fresh=fresh)


def _carry_out(
    runs: Sequence[Run], order: Sequence[tuple[int, PlannedRepeat]], when_busy: WhenBusy
) -> tuple[RunOutcome, RunOutcome]:
    queue: list[QueuedRepeat] = [(runs[side], planned) for side, planned in order]
    base, new = run.carry_out(runs, queue, when_busy)
    return base, new
