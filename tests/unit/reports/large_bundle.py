"""Times the report of a large run: 100 cells of 5 rounds. ``python -m tests.unit.reports.large_bundle [DIR]``.

60 drain cells, 36 steady ones and 4 searches, with histogram logs such as the bench writes them: a line a second
and tag, of 20,000 events/s. CONTRIBUTING.md says what to expect. With ``--profile`` it says where the time went.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from bench.evidence import histogram
from bench.evidence.histogram import TimedDurations
from tests.unit.reports.made_bundle import MEASURES, STAGES, Cell, Plan, searched_cells, write

EVENTS_PER_S, SECONDS, TEMPLATES = 20_000, 10, 6


def cells() -> list[Cell]:
    """Return the cells: each kind over partitions and consumers, and a third axis."""
    found = []
    for p, c, batch in product((1, 2, 4, 8), (1, 2, 4, 6, 8), (500, 2000, 5000)):
        axes = {"partitions": p, "consumers": c, "batch_max_events": batch}
        found.append(Cell(f"drain-p{p}-c{c}-batch{batch}", "drain", axes))
    for p, c, load in product((1, 2, 4), (1, 2, 4, 8), (5_000, 10_000, 15_000)):
        found.append(
            Cell(f"steady-p{p}-c{c}-at{load}", "steady", {"partitions": p, "consumers": c, "offered_load": load})
        )
    first, second, _ = searched_cells()
    axes_of = [{"partitions": p, "consumers": c} for p, c in ((1, 1), (2, 2), (4, 2), (8, 4))]
    for axes, like in zip(axes_of, (first, second, second, second), strict=True):
        found.append(replace(like, id=f"capacity-p{axes['partitions']}-c{axes['consumers']}", axes=axes))
    return found


def make(folder: Path) -> Path:
    """Write the run under ``folder``."""
    run = write(folder, Plan(cells(), rounds=5, requests=1_200, seconds=SECONDS), "large")
    rng = np.random.default_rng(11)
    templates = [_log(folder / f"template-{index}.hlog", rng) for index in range(TEMPLATES)]
    for index, log in enumerate(sorted(run.glob("cells/*/*/latency.hlog"))):
        log.write_bytes(templates[index % TEMPLATES])
    return run


def _log(path: Path, rng: np.random.Generator) -> bytes:
    """Return a histogram log as of one repeat."""
    events = EVENTS_PER_S * SECONDS
    at_ns = np.sort(rng.integers(0, SECONDS * 1_000_000_000, events))
    stages_ns = {name: rng.gamma(2, 8e6, events).astype(np.int64) for name in STAGES}
    took = dict.fromkeys(MEASURES, np.sum(list(stages_ns.values()), axis=0)) | stages_ns
    histogram.write_log(path, 10**18, {name: TimedDurations(at_ns, values) for name, values in took.items()})
    return path.read_bytes()


def main() -> None:
    """Write the run unless it is there, and report on it as the command does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the run is kept (default: nowhere)")
    parser.add_argument("--profile", action="store_true", help="say where the time went")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = chosen.folder or Path(passing)
        run = folder / "large" if (folder / "large").is_dir() else make(folder)
        if chosen.profile:
            _profile(run, folder)
            return
        began = time.monotonic()
        command = [sys.executable, "-m", "reports", str(run), "--latest", str(folder / "latest.html")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        size = (run / "report.html").stat().st_size / 2**20
        print(f"{time.monotonic() - began:.1f} s, {size:.1f} MiB, {len(list(run.glob('figures/*.svg')))} figures")  # noqa: T201  its output


def _profile(run: Path, folder: Path) -> None:
    from reports.page import writing  # noqa: PLC0415  its imports are no part of what is profiled

    profile = cProfile.Profile()
    profile.enable()
    writing.write(run, folder / "latest.html")
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
