"""The report as one HTML page: what stands in it, in which order; the template says how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bundle.manifest import OWN_PIPELINE
from bundle.reading import Bundle
from reports import formats, kinds
from reports.answer import verdict
from reports.answer.verdict import RunVerdict
from reports.cells import cells as cell_views
from reports.cells import reported
from reports.cells.cells import Cell
from reports.drawing.panel import Panel
from reports.page import rendering
from reports.sections import answers, capacity, ceilings, details, durations, limits, own, scaling, throughput, validity
from reports.sections.section import CellDetails, Section
from reports.tables import Table, account, pairs

_PRINTED = ("audit", "capacity", "throughput", "durations")
"""The sections that a reader on paper needs, besides the finding, the environment and the command."""
_LEVELS = {"failed": "Failed", "inconclusive": "Inconclusive", "passed": "Passed"}


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


def make(bundle: Bundle, cells: Sequence[Cell], judged: RunVerdict) -> Page:
    """Lay out the report and render it; the same bundle makes the same page."""
    by_kind = cell_views.by_kind(cells, lambda cell: cell.plan.kind)
    searched = [cell for cell in cells if cell.kind.searched]
    contents = (
        validity.section(bundle, cells),
        *([capacity.section(searched, bundle.manifest.hardware.cores)] if searched else []),
        throughput.section({name: group for name, group in by_kind.items() if not kinds.named(name).searched}, judged),
        *own.sections(by_kind),
        durations.section(cells),
        durations.stages(cells),
        limits.section(bundle, by_kind),
        ceilings.section(bundle, cells),
        scaling.section(cells),
        scaling.advised(bundle, cells),
        details.backlog(by_kind),
    )
    each = details.by_kind(by_kind)
    lacking = reported.missing(repeat.result for repeat in bundle.valid)
    rendered = rendering.render(
        "report.html.j2",
        bundle=bundle,
        verdict=judged,
        level=_LEVELS[judged.level],
        facts=_facts(bundle, cells),
        findings=verdict.alike(judged.findings),
        answer=answers.part(judged.rows),
        identities=account.identities(verdict.total(bundle.valid), lacking) if bundle.valid else (),
        besides=account.besides(verdict.total(bundle.valid), lacking) if bundle.valid else (),
        sections=contents,
        printed=_PRINTED,
        left_out=[section.title for section in contents if section.name not in _PRINTED] + ["Each cell"],
        cells=each.items(),
        environment_table=_environment(bundle),
        versions_table=pairs((name, str(value)) for name, value in bundle.manifest.versions.items()),
    )
    return Page(contents, tuple(of for group in each.values() for of in group), rendered)


def _facts(bundle: Bundle, cells: Sequence[Cell]) -> str:
    """Return the line above the finding: what was measured, when, on what."""
    machine = bundle.manifest.hardware
    what = f"matrix {bundle.manifest.matrix.name or formats.NOTHING}, {formats.plural(len(cells), 'cell')}"
    where = f"{formats.value(machine.cores or None)} cores, {formats.size(machine.memory_bytes or None)}"
    return f"{bundle.manifest.run_id} · {what} · {formats.moment(bundle.manifest.started_at)} · {where}"


def _baseline(bundle: Bundle) -> list[tuple[str, str]]:
    """The run whose loads were offered."""
    taken = bundle.manifest.baseline
    return [("loads taken from", f"{taken.run_id} ({formats.plural(len(taken.loads), 'cell')})")] if taken else []


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
            *([("system under test", manifest.system)] if manifest.system != OWN_PIPELINE else []),
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
            *_baseline(bundle),
            ("seed", formats.value(manifest.matrix.seed)),
        ]
    )
