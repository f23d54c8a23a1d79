"""The report as one HTML page: what stands in it, in which order; the template says how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports import breaking, formats, rendering, searches, statistics, verdict
from reports import cells as cell_views
from reports.bundle import CAPACITY, Bundle
from reports.cells import Cell
from reports.figures.panel import Panel
from reports.sections import answers, capacity, ceilings, details, durations, limits, scaling, throughput, validity
from reports.sections.parts import CellDetails, Section
from reports.tables import Table, account, pairs, span
from reports.verdict import Verdict

_LEVELS = {"failed": "Failed", "inconclusive": "Inconclusive", "passed": "Passed"}


@dataclass(frozen=True)
class Tile:
    """One number for the top of the page, with what it is, its unit and a remark."""

    name: str
    number: str
    unit: str
    remark: str
    alarm: bool = False


@dataclass(frozen=True)
class Page:
    """Everything on the page, in its order."""

    sections: tuple[Section, ...]
    cells: tuple[CellDetails, ...]
    html: str

    @property
    def figures(self) -> Iterator[Panel]:
        """Every figure, in the page's order."""
        parts = [part for section in self.sections for part in section.parts]
        parts += [part for cell in self.cells for part in cell.parts]
        for part in parts:
            yield from part.figures


def make(bundle: Bundle, cells: Sequence[Cell], judged: Verdict) -> Page:
    """Lay out the report and render it; the same bundle gives the same page."""
    by_kind = {kind: [c for c in cells if c.plan.kind == kind] for kind in cell_views.kinds(bundle.manifest.cells)}
    searched = by_kind.get(CAPACITY, [])
    contents = (
        *([answers.section(judged.rows)] if judged.rows else []),
        validity.section(bundle, cells),
        *([capacity.section(searched, bundle.manifest.hardware.cores)] if searched else []),
        throughput.section({kind: group for kind, group in by_kind.items() if kind != CAPACITY}, judged),
        durations.section(cells),
        durations.stages(cells),
        limits.section(bundle, by_kind),
        ceilings.section(bundle, cells),
        scaling.section(cells),
        scaling.advised(bundle, cells),
        details.backlog(by_kind),
    )
    each = details.by_kind(by_kind)
    rendered = rendering.render(
        "report.html.j2",
        bundle=bundle,
        verdict=judged,
        level=_LEVELS[judged.level],
        facts=_facts(bundle, cells),
        tiles=_tiles(bundle, cells, judged),
        identities=account.identities(verdict.total(bundle.valid)) if bundle.valid else (),
        besides=account.besides(verdict.total(bundle.valid)) if bundle.valid else (),
        sections=contents,
        cells=each.items(),
        environment_table=_environment(bundle),
        versions_table=pairs((name, str(value)) for name, value in bundle.manifest.versions.items()),
    )
    return Page(contents, tuple(of for group in each.values() for of in group), rendered)


def _tiles(bundle: Bundle, cells: Sequence[Cell], judged: Verdict) -> list[Tile]:
    """Give the few numbers that most readers come for."""
    valid, audit = bundle.valid, verdict.total(bundle.valid)
    found = [_sustainable(judged.sustained)] if judged.sustained is not None else []
    found += _breaks(bundle, judged.sustained)
    if judged.best is not None and judged.best.throughput is not None:
        interval = judged.best.throughput
        spread = span(interval) if interval.low is not None else "one repeat, no interval"
        found.append(Tile("highest drain throughput", formats.rounded(interval.mean), "events/s", spread))
    at_answers = judged.sustained is not None
    timed = [judged.sustained] if judged.sustained else [cell for cell in cells if cell.plan.kind != CAPACITY]
    p99s = [(p99, c) for c in timed if (p99 := c.percentile("delivery_latency", statistics.PERCENTILES["p99"]))]
    if p99s:
        (low, _), (high, worst) = min(p99s, key=lambda p: p[0]), max(p99s, key=lambda p: p[0])
        said = formats.milliseconds(low) + (f" to {formats.milliseconds(high)}" if high > low else "")
        found.append(
            Tile(
                "delivery latency p99",
                said,
                "ms",
                "at the load held" if at_answers else f"{formats.plural(len(p99s), 'cell')}, highest {worst.label}",
            )
        )
    void = ", in valid repeats" if len(valid) < len(bundle.repeats) else ""
    accepted = f"of {formats.count(audit.accepted)}{void}"
    found.append(Tile("accepted events stored", formats.count(audit.stored_accepted), "", accepted))
    found.append(Tile("lost", formats.count(audit.lost), "", "looked for one by one", alarm=audit.lost > 0))
    attempts = formats.plural(len(bundle.repeats), "attempt")
    bounds = "bounds changed" if bundle.manifest.changed_bounds else "default bounds"
    found.append(Tile("valid", str(len(valid)), f"of {attempts}", bounds))
    return found


def _sustainable(cell: Cell) -> Tile:
    """Give the answer of the search that found the most, its interval and its objective."""
    found = cell.capacity
    number = formats.rounded(found.sustainable_events_per_s if found else None)
    sure = "" if found and found.confirmed else ", not confirmed"
    remark = f"{searches.interval(found)}{sure}; {cell.label}, {searches.objective(found)}"
    return Tile("sustainable throughput", number, "events/s", remark)


def _breaks(bundle: Bundle, cell: Cell | None) -> list[Tile]:
    """Give what breaks first above the answer; the section on capacity has the evidence."""
    broke = breaking.of(cell, bundle.manifest.hardware.cores) if cell else None
    if broke is None:
        return []
    remark = f"on {broke.resource}" if broke.resource else ("" if broke.criterion is None else "cause not determined")
    return [Tile("breaks first", broke.criterion or broke.short, "", remark)]


def _facts(bundle: Bundle, cells: Sequence[Cell]) -> str:
    """Give the line above the finding: what was measured, when, on what."""
    machine = bundle.manifest.hardware
    what = f"matrix {bundle.manifest.matrix.name or formats.NOTHING}, {formats.plural(len(cells), 'cell')}"
    where = f"{formats.value(machine.cores or None)} cores, {formats.size(machine.memory_bytes or None)}"
    return f"{bundle.manifest.run_id} · {what} · {formats.moment(bundle.manifest.started_at)} · {where}"


def _variant(bundle: Bundle) -> list[tuple[str, str]]:
    """Say what one run of an interleaved pair measured, and which run the other is."""
    variant = bundle.manifest.variant
    if variant is None:
        return []
    code = f", its API and workers of revision {variant.git_revision}" if variant.git_revision else ""
    return [("variant", f"{variant.given}{code}"), ("interleaved with", bundle.manifest.interleaved_with or "")]


def _environment(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    revision = (manifest.git_revision or formats.NOTHING) + (" with local changes" if manifest.git_dirty else "")
    return pairs(
        [
            ("run", manifest.run_id),
            ("status", manifest.status),
            ("started", formats.moment(manifest.started_at)),
            ("finished", formats.moment(manifest.finished_at)),
            ("CPU", manifest.hardware.cpu or formats.NOTHING),
            ("cores", formats.value(manifest.hardware.cores or None)),
            ("memory", formats.size(manifest.hardware.memory_bytes or None)),
            ("kernel", manifest.kernel or formats.NOTHING),
            ("servers", formats.value(manifest.servers)),
            ("git revision", revision),
            *_variant(bundle),
            ("seed", formats.value(manifest.matrix.seed)),
        ]
    )
