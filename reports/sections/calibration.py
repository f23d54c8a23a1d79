"""What the generator can do when nothing holds it up, and which loads of the run went beyond that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundle.calibration import Calibration
from bundle.reading import Bundle
from reports import formats
from reports.cells.cells import Cell
from reports.sections.section import SectionPart
from reports.tables import Table, table

_SUMMARY = "The generator against a server that keeps nothing, load by load"
_MOST_NAMED = 4


def part(bundle: Bundle, cells: Sequence[Cell]) -> SectionPart:
    """Say it in a sentence or two, with the stairs of the calibration behind them; nothing where there is none."""
    found = bundle.calibration
    if found is None:
        return SectionPart()
    words = (_sentence(found), *_disturbed(found, bundle.manifest.bounds), *_beyond(found, cells))
    return SectionPart(words=words, table=_stairs(found), summary=_SUMMARY)


def _sentence(found: Calibration) -> str:
    bounds = (
        f"schedule delay p99 {formats.value(found.schedule_delay_p99_ms)} ms, "
        f"{formats.share(found.generator_cpu_share)} of a core"
    )
    if found.highest_events_per_s is None:
        return f"Against a server that keeps nothing the generator kept to its bounds ({bounds}) at no load tried."
    least = "at least " if found.beyond else ""
    cost = f"{found.cpu_s_per_100k_events:.2f} CPU-s per 100k events" if found.cpu_s_per_100k_events else "no CPU time"
    return (
        f"Against a server that keeps nothing one process of the generator keeps to its bounds ({bounds}) up to "
        f"{least}{formats.count(found.highest_events_per_s)} events/s, for {cost}."
    )


def _disturbed(found: Calibration, bounds: Mapping[str, float]) -> list[str]:
    """Say where something else used the machine while it was calibrated."""
    limit = bounds.get("disturbed_share")
    if limit is None or found.disturbance is None or found.disturbance.total <= limit:
        return []
    return [f"Others used {formats.share(found.disturbance.total)} of the machine meanwhile: it can do more than that."]


def _beyond(found: Calibration, cells: Sequence[Cell]) -> list[str]:
    """Name the cells whose load was more than the calibration shows to be possible."""
    if found.highest_events_per_s is None or found.beyond:
        return []
    names = []
    for cell in cells:
        processes = cell.plan.axes.get("generator_processes") or 1
        loads = [repeat.result.offered_load_events_per_s or 0.0 for repeat in cell.valid]
        if max(loads, default=0.0) > found.highest_events_per_s * processes:
            names.append(cell.plan.id)
    if not names:
        return []
    named = ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" * (len(names) > _MOST_NAMED))
    caution = (
        f"Caution: {named} offered more than that. Each repeat held its own generator against the same bounds, and "
        "counts; but there is no margin, and more generator_processes would give some."
    )
    return [caution]


def _stairs(found: Calibration) -> Table:
    rows = [
        [
            formats.count(each.offered_load_events_per_s),
            "kept" if each.holds else "not kept",
            formats.count(each.requests_per_s),
            formats.milliseconds(each.schedule_delay_p99_ms),
            formats.share(each.cpu_share),
            formats.rounded(each.cpu_s_per_100k_events),
            formats.count(each.unsent),
        ]
        for each in found.stairs
    ]
    heads = ["offered load, events/s", "bounds", "requests/s", "schedule delay p99, ms", "of a core"]
    return table([*heads, "CPU-s per 100k events", "unsent"], rows, words=("bounds",))
