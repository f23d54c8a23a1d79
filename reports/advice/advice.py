"""Which configuration to run: the smallest measured one that holds a load under an objective, and what to measure else.

docs/usage.md ("Which configuration holds a load") has the rules in words; reports/advice/proof.py says what a cell
proves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from bundle.reading import Bundle
from reports.advice import configurations, extrapolation, followup, proof
from reports.advice.configurations import SMALLEST, Configuration
from reports.advice.extrapolation import Extrapolation
from reports.answer import objective
from reports.answer.objective import LatencyObjective
from reports.cells.cells import Cell
from reports.errors import NothingMeasuredError, ObjectiveError
from reports.scaling import scaling
from reports.scaling.scaling import Scaling

DEFAULT_OBJECTIVE = LatencyObjective("delivery_latency", "p99", 1000.0)
MOST_TARGET_EVENTS_PER_S = 10_000_000.0
_ROUND = (1, 2, 5)
_ROUND_TARGETS = 4


class Advice(Struct, frozen=True, kw_only=True):
    """The answer for one load. ``best``: the smallest configuration that holds it, None where none was shown to.

    ``configurations``: all that were measured, smallest first. ``nearest``: if none holds it, the one that held most;
    None if there is no valid repeat. ``breaks_first``: what is at its limit above the load that ``best`` or ``nearest``
    held, in words; empty if that is not known. ``extrapolation``: if none holds it and a curve
    reaches it. ``measure_next``: lines for a person; ``conditions``: under which workload all this holds.
    """

    target_events_per_s: float
    objective: str
    best: Configuration | None
    configurations: tuple[Configuration, ...]
    extrapolation: Extrapolation | None
    no_extrapolation: str
    measure_next: tuple[str, ...]
    conditions: dict[str, object]
    left_out: tuple[str, ...]
    nearest: Configuration | None = None
    breaks_first: str = ""
    smallest: str = SMALLEST


def advise(bundle: Bundle, cells: Sequence[Cell], target: float, asked: LatencyObjective) -> Advice:
    """Answer for one load in events/s.

    Raises:
        ObjectiveError: the load is none.
        NothingMeasuredError: the run has no steady or capacity cell.
    """
    if not 0 < target <= MOST_TARGET_EVENTS_PER_S:
        raise ObjectiveError(
            f"a target of {target:g} events/s cannot be: give one above 0, up to {MOST_TARGET_EVENTS_PER_S:,.0f}"
        )
    return _advise(bundle, cells, target, asked, scaling.group(cells))


def for_report(bundle: Bundle, cells: Sequence[Cell]) -> tuple[Advice, ...]:
    """Answer for a few round loads about the highest that was held; none where no cell could prove any."""
    through = [cell for cell in cells if cell.kind.proves_loads and cell.valid]
    if not through:
        return ()
    asked = asked_by(bundle, cells)
    curves = scaling.group(cells)
    return tuple(_advise(bundle, cells, target, asked, curves) for target in _round_targets(through, asked))


def asked_by(bundle: Bundle, cells: Sequence[Cell]) -> LatencyObjective:
    """Return the run's own objective: the matrix's, else that of its searches, else the default."""
    for measure in ("delivery_latency", "response_time"):
        limit_ms = (bundle.manifest.matrix.objective or {}).get(f"{measure}_p99_ms")
        if limit_ms:
            return LatencyObjective(measure, "p99", float(limit_ms))
    searched = [found for cell in cells if cell.capacity for found in objective.find(cell.capacity.objective)]
    return searched[0] if searched else DEFAULT_OBJECTIVE


def _advise(
    bundle: Bundle, cells: Sequence[Cell], target: float, asked: LatencyObjective, curves: Sequence[Scaling]
) -> Advice:
    through = [cell for cell in cells if cell.kind.proves_loads]
    if not through:
        raise NothingMeasuredError(
            f"{bundle.manifest.run_id} has no steady or capacity cell, so it proves no load for the whole path: "
            "measure one, for example with ./tidemark bench"
        )
    conditions = _usual([proof.workload(cell) for cell in through])
    alike = [cell for cell in cells if proof.workload(cell).items() <= conditions.items()]
    found = configurations.weigh(alike, asked, target)
    best = next((one for one in found if one.status == "holds"), None)
    nearest = None if best else _nearest(found)
    cores = bundle.manifest.hardware.cores
    beyond, why_none = (None, "") if best else extrapolation.along(cores, alike, curves, target, asked)
    return Advice(
        target_events_per_s=target,
        objective=asked.words,
        best=best,
        configurations=tuple(found),
        extrapolation=beyond,
        no_extrapolation=why_none,
        measure_next=() if best else followup.suggest(found, nearest, alike, target, asked, beyond, conditions),
        conditions=conditions,
        left_out=tuple(cell.plan.id for cell in cells if cell not in alike),
        nearest=nearest,
        breaks_first=followup.breaks_first(best or nearest, alike, cores),
    )


def _nearest(found: Sequence[Configuration]) -> Configuration | None:
    """Return the configuration that held the highest load or, if none held any, that tried at the highest load."""
    loads = []
    for one in found:
        shown = one.held or one.shown
        if shown is not None and (one.held or shown.repeats):
            loads.append(((one.held is not None, shown.load_events_per_s), one))
    return max(loads, key=lambda pair: pair[0])[1] if loads else None


def _usual(workloads: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the workload that most cells have, the first of equals."""
    counted = Counter(repr(each) for each in workloads)
    return max(workloads, key=lambda each: counted[repr(each)])


def _round_targets(cells: Sequence[Cell], asked: LatencyObjective) -> list[float]:
    """Return round loads (1, 2, 5 times a power of ten) by the highest that a cell held: three below it, one above."""
    shown = [one for cell in cells for one in proof.of_cell(cell, asked, 0.0)]
    held = max((one.load_events_per_s for one in shown if one.status == "holds"), default=0.0)
    held = held or min((one.load_events_per_s for one in shown if one.load_events_per_s > 0), default=1000.0)
    rounds = [float(digit * 10**power) for power in range(8) for digit in _ROUND]
    below = [each for each in rounds if each <= held]
    return [*below[1 - _ROUND_TARGETS :], *[each for each in rounds if each > held][:1]]
