"""A simulated system of known capacity, as uneven as the real one of a committed A/A run.

``python -m tests.unit.bench.search.noise runs/<noise run> > tests/unit/data/noise.json`` writes what it draws from:
repeats of the steady cell that was offered more than the system holds, second by second what they stored there. Void
attempts without a finding were run again and are left out.
"""

import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.search.sustained import BIN_S

DATA = Path(__file__).parents[2] / "data" / "noise.json"
WARMUP_S = 3.0
DEPTH_S = 0.07  # what an event takes where there is no queue: the median delivery latency at 20,000 events/s
_BLOCK_S = 4.0
_NS = 1e9


@dataclass(frozen=True)
class Noise:
    """What the run showed.

    ``between``: of each repeat, ln of its stored rate over the median repeat's. ``within``: its stored events per bin
    over its mean, shape (repeats, bins). ``burst``: variance of the events offered in a time over their mean.
    """

    between: NDArray[np.float64]
    within: NDArray[np.float64]
    burst: float


@dataclass(frozen=True)
class Simulated:
    """Events per bin of a simulated probe, its warm-up included."""

    accepted: NDArray[np.float64]
    stored: NDArray[np.float64]

    def deficits(self, length_s: float) -> NDArray[np.float64]:
        """Accepted minus stored, per bin of the first ``length_s`` seconds after the warm-up."""
        first = round(WARMUP_S / BIN_S)
        return (self.accepted - self.stored)[first : first + round(length_s / BIN_S)]


@cache
def noise() -> Noise:
    """Read what is committed."""
    overloaded = json.loads(DATA.read_text())["overloaded"]
    stored = np.array([each["stored"] for each in overloaded["repeats"]], dtype=np.float64)
    rates = stored.mean(axis=1)
    return Noise(np.log(rates / np.median(rates)), stored / rates[:, None], overloaded["offered_variance_per_mean"])


def recorded() -> list[dict]:
    """The steady repeats, each with what was accepted and stored up to the end of each second."""
    return json.loads(DATA.read_text())["seconds"]


def simulate(
    load_events_per_s: float, capacity_events_per_s: float, length_s: float, random: np.random.Generator
) -> Simulated:
    """One probe, as a queue: requests come at random, and are stored as fast as the system is at that moment.

    ``capacity_events_per_s`` is that of this probe; :func:`of_the_moment` draws one.
    """
    known = noise()
    bins = round((WARMUP_S + length_s) / BIN_S)
    accepted = load_events_per_s * BIN_S + np.sqrt(known.burst * load_events_per_s * BIN_S) * random.normal(size=bins)
    accepted = np.maximum(accepted, 0.0)
    block = round(_BLOCK_S / BIN_S)
    blocks = -(-bins // block)
    repeats, length = known.within.shape
    places = random.integers(length, size=(blocks, 1)) + np.arange(block)
    pace = known.within[random.integers(repeats, size=(blocks, 1)), places % length].ravel()[:bins]
    surplus = np.cumsum(accepted - pace * capacity_events_per_s * BIN_S)
    backlog = surplus - np.minimum(np.minimum.accumulate(surplus), 0.0)
    through = accepted - np.diff(backlog, prepend=0.0)
    late = through * random.uniform(0, 2 * DEPTH_S / BIN_S, size=bins)
    return Simulated(accepted, through - np.diff(late, prepend=0.0))


def of_the_moment(capacity_events_per_s: float, random: np.random.Generator) -> float:
    """The capacity of one probe of a system with that median capacity."""
    return float(capacity_events_per_s * np.exp(random.choice(noise().between)))


def _main(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    cells = {cell["id"]: cell["axes"]["offered_load"] for cell in manifest["cells"] if cell["kind"] == "steady"}
    overloaded = max(cells, key=lambda cell: cells[cell])
    repeats = [each for cell in cells for each in _repeats(run, cell)]
    counting = [each for each in repeats if each["cell"] == overloaded and (each["valid"] or each["findings"])]
    source = {key: manifest[key] for key in ("run_id", "started_at", "git_revision", "hardware", "kernel", "versions")}
    content = {
        "source": source,
        "overloaded": {
            "cell": overloaded,
            "offered_events_per_s": cells[overloaded],
            "bin_s": BIN_S,
            "offered_variance_per_mean": round(float(np.mean([each["burst"] for each in counting])), 1),
            "repeats": [{"repeat": each["repeat"], "stored": each["stored"]} for each in counting],
        },
        "seconds": [
            {key: each[key] for key in ("cell", "repeat", "offered_events_per_s", "p99_ms", "accepted_by", "stored_by")}
            for each in repeats
        ],
    }
    sys.stdout.write(_shortened(json.dumps(content, indent=1)) + "\n")


def _repeats(run: Path, cell: str) -> list[dict]:
    found = []
    for folder in sorted(
        (run / "cells" / cell).iterdir(), key=lambda path: [int(part) for part in path.name.split(".")]
    ):
        result = json.loads((folder / "result.json").read_text())
        ledger = pd.read_parquet(folder / "ledger.parquet")
        stored_s = np.sort(pd.read_parquet(folder / "deliveries.parquet")["acknowledged_ns"]) / _NS
        answered = ledger[ledger["outcome"] == 0].sort_values("answered")
        end_s = result["window"]["end_s"]
        bins = np.arange(result["window"]["start_s"], end_s + BIN_S / 2, BIN_S)
        offered = np.histogram(ledger["intended"] / _NS, bins, weights=ledger["count"])[0]
        seconds = np.arange(1.0, end_s + 0.5)
        accepted_by = np.concatenate(((0,), answered["count"].cumsum()))
        found.append(
            {
                "cell": cell,
                "repeat": folder.name,
                "valid": result["valid"],
                "findings": result["findings"],
                "offered_events_per_s": result["offered_load_events_per_s"],
                "p99_ms": round(result["delivery_latency_ms"]["p99"]),
                "burst": offered.var() / offered.mean(),
                "stored": np.histogram(stored_s, bins)[0].tolist(),
                "accepted_by": accepted_by[np.searchsorted(answered["answered"] / _NS, seconds)].tolist(),
                "stored_by": np.searchsorted(stored_s, seconds).tolist(),
            }
        )
    return found


def _shortened(text: str) -> str:
    """Put each list of numbers on one line."""
    return re.sub(r"\[[-\d,\s]+\]", lambda found: re.sub(r"\s+", "", found[0]), text)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
