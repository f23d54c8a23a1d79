"""The stage: one Kafka and one MongoDB for all cases, and the bundles that their repeats go into."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from bench import kinds
from bench.cells import bounds
from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.evidence import sightings
from bench.judge import derive, detectors, measurements
from bench.judge.detectors import Detectors
from bench.kinds import naming
from bench.observe.environment import Environment
from bench.run import repeat, session
from bench.run.progress import Display
from bench.run.repeat import CollectedRepeat
from bench.run.repeatspec import RepeatSpec
from bench.selftest import checks, planting
from bench.selftest.cases import OBJECTIVE, Case
from bench.selftest.checks import STRICT, Check, JudgedRepeat
from bench.selftest.planting import Context
from bench.targets.cellsettings import settings_for
from bench.targets.servers import Servers
from bundle import writing
from bundle.manifest import CellPlan, Manifest, MatrixText
from bundle.result import Result, Window
from bundle.writing import BundleWriter
from traffic import schedule

BOUNDS = Bounds(disturbed_share=1.0, drain_window_s=0.0)
"""A fault can be named on a busy machine and in a short drain too. What a busy machine spoils has its own reasons, and
the case is repeated."""
_OF_A_MACHINE = ("generator: ", "machine: ", "drain: ", "clocks: wall and monotonic clock drifted")
_SEED = 1
_SESSION_TIMEOUT_MS = 6_000  # the shortest that Kafka takes: a killed worker is missed sooner


@dataclass(eq=False)
class Book:
    """A bundle under way, and the cells in it."""

    bundle: BundleWriter
    started_at: str
    cells: list[CellSpec] = field(default_factory=list)

    @classmethod
    def create(cls, out: Path, name: str) -> Book:
        """Make an empty bundle of that name in ``out``."""
        return cls(writing.create(out, name), writing.now())

    def folder_of(self, cell: CellSpec, attempt: int) -> Path:
        """Return an empty folder for an attempt at ``cell``, in round 1."""
        if cell not in self.cells:
            self.cells.append(cell)
        return self.bundle.start_repeat(cell.id, 1, attempt)

    def finish(self, environment: Environment, servers: Servers) -> Path:
        """Write the manifest and let go of the bundle; return its folder."""
        self.bundle.write_manifest(
            Manifest(
                run_id=self.bundle.path.name,
                status="complete",
                command="./tidemark selftest",
                started_at=self.started_at,
                finished_at=writing.now(),
                matrix=MatrixText(
                    name="selftest",
                    text="# the cases of the self-test: bench/selftest/cases.py\n",
                    rounds=1,
                    seed=_SEED,
                    objective=msgspec.to_builtins(OBJECTIVE),
                ),
                bounds=msgspec.to_builtins(BOUNDS),
                changed_bounds=bounds.changed(BOUNDS),
                cells=tuple(CellPlan(cell.id, cell.kind, naming.axes_of(cell)) for cell in self.cells),
                order=tuple((cell.id, 1) for cell in self.cells),
                git_revision=environment.git_revision,
                git_dirty=environment.git_dirty,
                versions={**environment.versions, **servers.versions},
                hardware=environment.hardware,
                kernel=environment.kernel,
                servers="local",
            )
        )
        self.bundle.close()
        return self.bundle.path


@dataclass(frozen=True)
class Attempt:
    """One attempt at a case.

    ``failed``: the checks that did, in words. ``unseeing``: checks that hold with their detector switched off too.
    ``unplanted``: reasons for which it is void that nothing planted explains, and a busy machine can.
    """

    attempt: int
    result: Result
    failed: tuple[str, ...]
    unseeing: tuple[str, ...]
    unplanted: tuple[str, ...]
    numbers: tuple[str, ...]
    twins: int
    took_s: float

    @property
    def is_disturbed(self) -> bool:
        """Whether something is wrong, and the machine may have made it so."""
        return bool(self.unplanted and (self.failed or self.unseeing))


class Stage:
    """Runs cases, one after the other."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._display = Display(plain=True)  # nothing begins on it, so it shows nothing
        self._runs = int.from_bytes(os.urandom(2)) % writing.RUN_NUMBERS

    def attempt(self, case: Case, number: int, book: Book, twins: Book) -> Attempt:
        """Run ``case`` once, into ``book``; the same evidence, judged with what it needs left out, into ``twins``."""
        began_s = time.monotonic()
        cell = structs.replace(case.cell, id=case.name)
        to_run = self._repeat(case, cell, number)
        folder = book.folder_of(cell, number)
        mongo = settings_for(to_run.settings, cell, to_run.name).mongo
        context = Context(folder, mongo, cell.warmup_s + cell.duration_s)
        act = case.act
        with planting.planted(case.fault, folder):
            measured = session.run(
                repeat.measure(to_run, folder, self._display, None if act is None else lambda now: act(context, now))
            )
        result = repeat.judge(to_run, measured)
        repeat.keep(to_run, measured, result, folder)
        (folder / planting.TRIGGER).unlink(missing_ok=True)
        final = book.bundle.finish_repeat(folder, result)
        judged = _Judged(to_run, measured, context, _due_s(to_run), final)
        seen = judged.with_all()
        self._keep_twin(twins.folder_of(cell, number), twins, judged, case)
        others = set(checks.unexpected(result, case.expected))
        return Attempt(
            attempt=number,
            result=result,
            failed=tuple(f"{each.what}: {wrong}" for each in case.all_checks if (wrong := each.wrong(seen))),
            unseeing=tuple(each.what for each in case.all_checks if not each.wrong(judged.as_twin(each))),
            unplanted=tuple(
                reason for reason in result.reasons if reason in others and reason.startswith(_OF_A_MACHINE)
            ),
            numbers=tuple(each.numbers(seen) for each in case.checks if each.numbers),
            twins=len(case.all_checks),
            took_s=time.monotonic() - began_s,
        )

    def _repeat(self, case: Case, cell: CellSpec, number: int) -> RepeatSpec:
        self._runs = (self._runs + 1) % writing.RUN_NUMBERS
        load = cell.offered_load if isinstance(cell.offered_load, float) else None
        settings = self._servers.settings
        worker = structs.replace(settings.worker, session_timeout_ms=_SESSION_TIMEOUT_MS)
        return RepeatSpec(
            identity=derive.RepeatIdentity(cell, 1, number, self._runs, writing.now(), load),
            name=f"selftest-{os.getpid()}-{self._runs}",
            settings=structs.replace(settings, worker=worker),
            server_pids=self._servers.pids,
            traffic=case.traffic,
            seed=_SEED,
            bounds=BOUNDS,
            objective=case.objective,
            arrivals="constant",
            kafka_counters_urls=self._servers.kafka_counters_urls,
            mongo_member_uris=self._servers.mongo_member_uris,
        )

    @staticmethod
    def _keep_twin(folder: Path, twins: Book, judged: _Judged, case: Case) -> None:
        """Put into ``folder`` what would be said without the detectors of the case's checks, and the repeat's files."""
        left_out = frozenset(detector for each in case.checks for detector in each.without)
        by = judged.repeat if left_out else replace(judged.repeat, bounds=STRICT)
        for path in judged.folder.iterdir():
            if path.is_file() and path.name != "result.json":
                shutil.copy(path, folder)
        twins.bundle.finish_repeat(folder, repeat.judge(by, judged.measured, detectors.ALL - left_out))


@dataclass(frozen=True)
class _Judged:
    """The evidence of one repeat, to be judged again and again."""

    repeat: RepeatSpec
    measured: CollectedRepeat
    context: Context
    due_s: NDArray[np.float64]
    folder: Path

    def with_all(self) -> JudgedRepeat:
        """As any run judges it."""
        return self._seen(self.repeat, frozenset())

    def as_twin(self, check: Check) -> JudgedRepeat:
        """As the check's twin judges it."""
        if not check.without:
            return self._seen(replace(self.repeat, bounds=STRICT), frozenset())
        return self._seen(self.repeat, check.without)

    def _seen(self, of: RepeatSpec, left_out: Detectors) -> JudgedRepeat:
        looked_for = detectors.ALL - left_out
        result = repeat.judge(of, self.measured, looked_for)
        window = result.window or Window(0.0, 0.0)
        events = measurements.event_durations(self.measured.evidence, window, looked_for)
        return JudgedRepeat(of, result, events, self.context, self.due_s, self.folder)


def _due_s(of: RepeatSpec) -> NDArray[np.float64]:
    """When every event of a load was due, those of the witness too: by the schedules alone."""
    cell = of.identity.cell
    if not kinds.named(cell.kind).through_http:
        return np.zeros(0)
    spec, count = of.load_spec, cell.generator_processes
    chunks = [chunk for index in range(count) for chunk in schedule.requests(spec, index, count)]
    due_ns = [np.repeat(chunk.intended_ns, chunk.events) for chunk in chunks]
    return np.sort(np.concatenate([*due_ns, sightings.due_ns(spec)])) / 1e9
