"""The report as one HTML page: what stands in it, in which order; the template says how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reports import axes as axes_of
from reports import cells as cell_views
from reports import formats, statistics, svg, tables, verdict
from reports.bundle import Bundle, Repeat
from reports.cells import Cell
from reports.figures import backlog, bars, percentiles, throughput
from reports.figures.panel import Panel
from reports.tables import Table
from reports.verdict import Verdict

_TEMPLATES = Path(__file__).parent / "templates"
_KIND_QUESTIONS = {
    "drain": "How fast do the consumers empty a backlog that was there before them?",
    "steady": "What was stored of an offered load that does not wait for the system?",
}
_LEVELS = {"findings": "Findings", "incomplete": "Incomplete, no findings", "clear": "No findings"}


@dataclass(frozen=True)
class Part:
    """A part of a section: any of a heading, words, figures and a table (behind a summary where it is named)."""

    heading: str = ""
    words: tuple[str, ...] = ()
    figures: tuple[Panel, ...] = ()
    table: Table | None = None
    summary: str = ""


@dataclass(frozen=True)
class Section:
    """One section of the page; ``name`` is its id."""

    name: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class CellDetails:
    """One cell, to be opened."""

    name: str
    title: str
    remark: str
    alarm: str
    parts: tuple[Part, ...]


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
    html: str

    @property
    def figures(self) -> Iterator[Panel]:
        """Every figure, in the page's order."""
        for section in self.sections:
            for part in section.parts:
                yield from part.figures


def make(bundle: Bundle, cells: Sequence[Cell], judged: Verdict) -> Page:
    """Lay out the report and render it; the same bundle gives the same page."""
    by_kind = {kind: [c for c in cells if c.plan.kind == kind] for kind in cell_views.kinds(bundle.manifest.cells)}
    sections = (
        _validity(bundle, cells),
        _throughput(by_kind, judged),
        _durations(cells),
        _stages(cells),
        _cpu(bundle, by_kind),
        _backlog(by_kind),
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    rendered = environment.get_template("report.html.j2").render(
        bundle=bundle,
        verdict=judged,
        level=_LEVELS[judged.level],
        facts=_facts(bundle, cells),
        tiles=_tiles(bundle, cells, judged),
        identities=tables.identities(verdict.total(_valid(bundle))),
        sections=sections,
        cells=[(kind, [_details(cell) for cell in group]) for kind, group in by_kind.items()],
        environment_table=_environment(bundle),
        versions_table=tables.pairs((name, str(value)) for name, value in bundle.manifest.versions.items()),
        formats=formats,
        scheme_light=svg.variables(dark=False),
        scheme_dark=svg.variables(dark=True),
        figure_rules=svg.style_sheet(),
    )
    return Page(sections, rendered)


def _valid(bundle: Bundle) -> list[Repeat]:
    return [repeat for repeat in bundle.repeats if repeat.result.valid]


def _tiles(bundle: Bundle, cells: Sequence[Cell], judged: Verdict) -> list[Tile]:
    """Give the few numbers that most readers come for."""
    valid, audit = _valid(bundle), verdict.total(_valid(bundle))
    found = []
    if judged.best is not None and judged.best.throughput is not None:
        interval = judged.best.throughput
        spread = tables.span(interval) if interval.low is not None else "one repeat, no interval"
        found.append(Tile("highest drain throughput", formats.rounded(interval.mean), "events/s", spread))
    p99s = [(p99, c) for c in cells if (p99 := c.percentile("delivery_latency", statistics.PERCENTILES["p99"]))]
    if p99s:
        (low, _), (high, worst) = min(p99s, key=lambda p: p[0]), max(p99s, key=lambda p: p[0])
        span = formats.milliseconds(low) + (f" to {formats.milliseconds(high)}" if high > low else "")
        found.append(Tile("delivery latency p99", span, "ms", f"{len(p99s)} steady cells, highest in {worst.label}"))
    found.append(
        Tile("accepted events stored", formats.count(audit.stored_accepted), "", f"of {formats.count(audit.accepted)}")
    )
    lost = sum(repeat.result.audit.lost for repeat in bundle.repeats if repeat.result.audit)
    found.append(Tile("lost", formats.count(lost), "", "by identity, event by event", alarm=lost > 0))
    attempts = formats.plural(len(bundle.repeats), "attempt")
    bounds = "bounds changed" if bundle.manifest.changed_bounds else "default bounds"
    found.append(Tile("valid", str(len(valid)), f"of {attempts}", bounds))
    return found


def _facts(bundle: Bundle, cells: Sequence[Cell]) -> str:
    """Give the line above the finding: what was measured, when, on what."""
    machine = bundle.manifest.hardware
    what = f"matrix {bundle.manifest.matrix.name or formats.NOTHING}, {formats.plural(len(cells), 'cell')}"
    where = f"{formats.value(machine.cores or None)} cores, {formats.size(machine.memory_bytes or None)}"
    return f"{bundle.manifest.run_id} · {what} · {formats.moment(bundle.manifest.started_at)} · {where}"


def _validity(bundle: Bundle, cells: Sequence[Cell]) -> Section:
    void = [repeat for repeat in bundle.repeats if not repeat.result.valid]
    changed = bundle.manifest.changed_bounds
    bounds = [[n, formats.value(v), "changed" if n in changed else ""] for n, v in bundle.manifest.bounds.items()]
    voids = formats.plural(sum(cell.void_attempts for cell in cells), "void attempt")
    counts = f"{formats.plural(len(_valid(bundle)), 'valid repeat')}, {voids}."
    parts = [Part(words=(f"{counts} {_HOW_AUDITED}",), table=tables.audit_total(bundle))]
    if void:
        reasons = [[repeat.name, "; ".join(repeat.result.reasons) or formats.NOTHING] for repeat in void]
        parts.append(Part("Void attempts", table=tables.table(["attempt", "why it does not count"], reasons, text=2)))
    parts.append(Part(table=tables.audit_by_repeat(bundle), summary="The audit of every attempt"))
    parts.append(Part(table=tables.table(["bound", "value", ""], bounds, text=1), summary="Bounds of validity"))
    objective = {k: v for k, v in (bundle.manifest.matrix.objective or {}).items() if v is not None}
    if objective:
        rows = [[name, formats.value(value)] for name, value in objective.items()]
        parts.append(Part(table=tables.table(["objective", "at most"], rows), summary="The objective"))
    return Section("audit", "Validity and audit", tuple(parts))


_HOW_AUDITED = (
    "Valid says that the measurement is sound; findings say what the system did wrong. Every event is followed by its "
    "identity through ledger, Kafka, deliveries and documents; documents are compared field by field with what was sent."
)


def _throughput(by_kind: dict[str, list[Cell]], judged: Verdict) -> Section:
    parts = []
    for kind, cells in by_kind.items():
        words = [_KIND_QUESTIONS.get(kind, "")]
        drawn: tuple[Panel, ...] = ()
        if kind == "drain" or "drain" not in by_kind:
            how = "a small point is one repeat, hollow marks have idle consumers"
            words.append(f"Marks and numbers: {statistics.INTERVAL_LABEL}; {how}.")
            words.append(_rivalry(judged) if kind == "drain" else "It is bounded by the offered load.")
            drawn = tuple(throughput.panels(cells, kind))
        parts.append(Part(f"{kind.capitalize()} cells", tuple(words), drawn, tables.steady(cells) if kind != "drain" else None))
    return Section("throughput", "Throughput of partitions × consumers", tuple(parts))


def _rivalry(judged: Verdict) -> str:
    """Say which cells this run does not tell apart from the best."""
    if judged.best is None:
        return ""
    if not judged.rivals:
        return f"The interval of {judged.best.label} is apart from that of every other cell."
    names = "; ".join(cell.label for cell in judged.rivals)
    return (
        f"{judged.best.label} is the highest, but its interval overlaps {_THAT[len(judged.rivals) > 1]} of {names} "
        f"(partitions × consumers): they are not told apart by overlap alone."
    )


_THAT = {False: "that", True: "those"}


def _durations(cells: Sequence[Cell]) -> Section:
    steady = [cell for cell in cells if cell.pooled]
    if not steady:
        return Section("durations", "Delivery latency and response time", (Part(words=(_NO_STEADY,)),))
    parts = [
        Part(
            words=(
                _WHAT_IS_TIMED,
                percentiles.gate_sentence(steady),
            ),
            figures=(*percentiles.panels(steady, "delivery_latency"), *percentiles.panels(steady, "response_time")),
        )
    ]
    parts += [
        Part(table=tables.percentiles(steady, measure), summary=f"{tables.MEASURE_NAMES[measure]}, percentiles")
        for measure in cell_views.MEASURES
    ]
    return Section("durations", "Delivery latency and response time", tuple(parts))


_WHAT_IS_TIMED = (
    "Delivery latency runs from the intended send to the acknowledged write, response time from the intended send to "
    "the response: a request that goes out late counts from when it was due."
)
_NO_STEADY = "No steady cell has a valid repeat in this run, so there is nothing to show here."


def _stages(cells: Sequence[Cell]) -> Section:
    figures = tuple(bars.stages(cells))
    words = (
        "Schedule delay: intended to sent. HTTP and API: sent to Kafka's record timestamp. Kafka and backlog: until the "
        "worker fetched. Write: until MongoDB acknowledged. They add up to the delivery latency, event by event."
        if figures
        else _NO_STEADY
    )
    return Section("stages", "The four stages", (Part(words=(words,), figures=figures),))


def _cpu(bundle: Bundle, by_kind: dict[str, list[Cell]]) -> Section:
    there = bundle.manifest.hardware.cores
    cells = [cell for group in by_kind.values() for cell in group if cell.cores]
    if not cells:
        return Section("cpu", "CPU by role", (Part(words=("No CPU was recorded in a valid repeat.",)),))
    figures = tuple(figure for kind, group in by_kind.items() for figure in bars.cpu(group, kind, there))
    parts = (
        Part(words=("The dashed line marks the cores that are there.",), figures=figures),
        Part("What bounds each cell", table=_bottlenecks(cells)),
        Part(table=tables.cpu_per_100k(cells), summary="CPU for 100,000 stored events, and memory"),
    )
    return Section("cpu", "CPU by role, and the bottleneck", parts)


def _bottlenecks(cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        bound = cell.bottleneck
        name = (bound.name or "none seen") if bound else formats.NOTHING
        rows.append([cell.label_with_kind, name, bound.evidence if bound else formats.NOTHING])
    return tables.table(["cell", "bottleneck", "evidence"], rows, text=3)


def _backlog(by_kind: dict[str, list[Cell]]) -> Section:
    figures = tuple(figure for group in by_kind.values() for figure in backlog.panels(group))
    words = "Records in Kafka that the group has not committed, each second; a line for each valid repeat, thick in the window."
    return Section(
        "backlog", "Backlog over time", (Part(words=(words if figures else "No time series.",), figures=figures),)
    )


def _details(cell: Cell) -> CellDetails:
    findings = [f"{repeat.name}: {text}" for repeat in cell.attempts for text in repeat.result.findings]
    reasons = [f"{repeat.name} is void: {text}" for repeat in cell.attempts for text in repeat.result.reasons]
    axes = ", ".join(axes_of.words(name, value) for name, value in cell.plan.axes.items() if value is not None)
    parts = [Part(words=(*findings, *reasons), table=tables.repeats_of(cell))]
    if cell.stages_ms:
        parts.append(Part("Stages", table=tables.stages_of(cell)))
    if any(repeat.result.consumers for repeat in cell.attempts):
        idle = f"{formats.plural(cell.idle_consumers, 'consumer')} idle, without a partition." if cell.idle_consumers else ""
        parts.append(Part("Consumers", words=(idle,), table=tables.consumers_of(cell)))
    parts.append(Part("Axes", words=(f"{axes}.",)))
    remark = f"{formats.rounded(cell.throughput.mean)} events/s" if cell.throughput else "no valid repeat"
    remark += f", {formats.plural(len(cell.valid), 'valid repeat')}" if cell.valid else ""
    remark += f", {cell.void_attempts} void" if cell.void_attempts and cell.valid else ""
    alarm = formats.plural(len(findings), "finding") if findings else ""
    return CellDetails(f"cell-{cell.plan.id}", cell.sentence, f"{cell.plan.id}: {remark}", alarm, tuple(parts))


def _environment(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    revision = (manifest.git_revision or formats.NOTHING) + (" with local changes" if manifest.git_dirty else "")
    return tables.pairs(
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
            ("seed", formats.value(manifest.matrix.seed)),
        ]
    )
