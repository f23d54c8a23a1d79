"""What stands in each section of the report, in words, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import axes as axes_of
from reports import bottleneck, formats, statistics, tables
from reports.bundle import Bundle
from reports.cells import Cell
from reports.figures import backlog as backlog_figures
from reports.figures import bars, percentiles
from reports.figures import throughput as throughput_figures
from reports.figures.panel import Panel
from reports.tables import Table
from reports.verdict import Verdict

_FEW = 6
_KIND_QUESTIONS = {
    "drain": "How fast do the consumers empty a backlog that was there before them?",
    "steady": "What was stored of an offered load that does not wait for the system?",
}


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
    """One section of the page; ``name`` is its id, ``short`` its title in the list of sections."""

    name: str
    title: str
    short: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class CellDetails:
    """One cell, to be opened."""

    name: str
    title: str
    remark: str
    alarm: str
    parts: tuple[Part, ...]


def validity(bundle: Bundle, cells: Sequence[Cell]) -> Section:
    """Both identities stand above it; here are the counts, why attempts are void, and by which bounds."""
    void = [repeat for repeat in bundle.repeats if not repeat.result.valid]
    changed = bundle.manifest.changed_bounds
    bounds = [[n, formats.value(v), "changed" if n in changed else ""] for n, v in bundle.manifest.bounds.items()]
    voids = formats.plural(sum(cell.void_attempts for cell in cells), "void attempt")
    counts = f"{formats.plural(len(bundle.valid), 'valid repeat')}, {voids}."
    summed = Part(words=(f"{counts} {_HOW_AUDITED}",), table=tables.audit_total(bundle), summary="The audit, summed")
    parts = [summed, Part(table=tables.audit_by_repeat(bundle), summary="The audit of every attempt")]
    if void:
        reasons = [[repeat.name, "; ".join(repeat.result.reasons) or formats.NOTHING] for repeat in void]
        table = tables.table(["void attempt", "why it does not count"], reasons, text=2)
        parts.append(Part(table=table, summary=f"All {len(void)} void attempts" if len(void) > _FEW else ""))
    parts.append(Part(table=tables.table(["bound", "value", ""], bounds, text=1), summary="Bounds of validity"))
    objective = {k: v for k, v in (bundle.manifest.matrix.objective or {}).items() if v is not None}
    if objective:
        rows = [[name, formats.value(value)] for name, value in objective.items()]
        parts.append(Part(table=tables.table(["objective", "at most"], rows), summary="The objective"))
    return Section("audit", "Validity and audit", "Audit", tuple(parts))


_HOW_AUDITED = (
    "Valid says that the measurement is sound; findings say what the system did wrong. Every event is followed by its "
    "identity through ledger, Kafka, deliveries and documents; documents are compared with what was sent, field by "
    "field."
)


def throughput(by_kind: dict[str, list[Cell]], judged: Verdict) -> Section:
    """Heat maps and scaling curves of drains; what steady cells stored of their offered load."""
    parts = []
    for kind, cells in by_kind.items():
        words = [_KIND_QUESTIONS.get(kind, "")]
        drawn: tuple[Panel, ...] = ()
        if kind == "drain" or "drain" not in by_kind:
            how = "each small point is one repeat, hollow marks have idle consumers"
            scale = "Colours run from half of the highest value (or the lowest, if lower) to the highest."
            words.append(f"Numbers and large marks: {statistics.INTERVAL_LABEL}; {how}. {scale}")
            words.append(_CUT if throughput_figures.cuts_an_interval(cells) else "")
            words.append(_rivalry(judged) if kind == "drain" else "It is bounded by the offered load.")
            drawn = tuple(throughput_figures.panels(cells, kind))
        parts.append(
            Part(f"{kind.capitalize()} cells", tuple(words), drawn, tables.steady(cells) if kind != "drain" else None)
        )
    return Section("throughput", "Throughput of partitions × consumers", "Throughput", tuple(parts))


_CUT = (
    "Intervals that run out of the top of the curves are wider than the figure: the repeats lie far apart. "
    "The heat map has their bounds."
)


def _rivalry(judged: Verdict) -> str:
    """Say which cells this run does not tell apart from the best."""
    if judged.best is None or judged.best.throughput is None:
        return ""
    if judged.best.throughput.low is None:
        return f"{judged.best.label} is the highest, but one repeat gives no interval: the order is not settled."
    if not judged.rivals:
        return f"The interval of {judged.best.label} is apart from that of every other cell."
    names = "; ".join(cell.label for cell in judged.rivals[:_NAMED])
    more = len(judged.rivals) - _NAMED
    names += f" and {formats.plural(more, 'other cell')}" if more > 0 else ""
    return (
        f"{judged.best.label} is the highest, but its interval overlaps {_THAT[len(judged.rivals) > 1]} of {names} "
        f"(partitions × consumers): the order among them is not settled."
    )


_NAMED = 4
_THAT = {False: "that", True: "those"}


def durations(cells: Sequence[Cell]) -> Section:
    """Percentile curves of delivery latency and response time, and the same as tables."""
    steady = [cell for cell in cells if cell.pooled]
    if not steady:
        return Section(*_DURATIONS, (Part(words=(_NO_STEADY,)),))
    parts = [
        Part(
            words=(
                _WHAT_IS_TIMED,
                percentiles.gate_sentence(steady),
            ),
            figures=(*percentiles.panels(steady, "delivery_latency"), *percentiles.panels(steady, "response_time")),
        )
    ]
    parts.append(Part(table=tables.durations(steady)))
    service = tables.percentiles(steady, "service_time")
    parts.append(Part(table=service, summary="Service time, from the actual send: it hides what a late send adds"))
    return Section(*_DURATIONS, tuple(parts))


_DURATIONS = ("durations", "Delivery latency and response time", "Delivery latency, response time")
_WHAT_IS_TIMED = (
    "Delivery latency runs from the intended send to the acknowledged write, response time from the intended send to "
    "the response: a request that goes out late counts from when it was due."
)
_NO_STEADY = "No steady cell has a valid repeat in this run, so there is nothing to show here."


def stages(cells: Sequence[Cell]) -> Section:
    """Where delivery latency is spent, in the mean and around two percentiles."""
    figures = tuple(bars.stages(cells))
    words = (
        "Schedule delay: intended to sent. HTTP and API: sent to Kafka's record timestamp. Kafka and backlog: until "
        "the worker fetched. Write: until MongoDB acknowledged. They add up to the delivery latency, event by event."
        if figures
        else _NO_STEADY
    )
    return Section("stages", "The four stages of delivery latency", "Stages", (Part(words=(words,), figures=figures),))


_HOW_BOUND = (
    f"The dashed line marks the cores that are there. From {bottleneck.MACHINE_BUSY:.0%} of them the machine's CPU is "
    "the limit, and the role that uses most of it is named; a process is the limit from "
    f"{bottleneck.PROCESS_BUSY:.0%} of one core, which is all that a Python process can use."
)


def cpu(bundle: Bundle, by_kind: dict[str, list[Cell]]) -> Section:
    """Cores by role against those there, and what bounds each cell, with the evidence."""
    there = bundle.manifest.hardware.cores
    cells = [cell for group in by_kind.values() for cell in group if cell.cores]
    if not cells:
        return Section("cpu", "CPU by role", "CPU", (Part(words=("No CPU was recorded in a valid repeat.",)),))
    figures = tuple(figure for kind, group in by_kind.items() for figure in bars.cpu(group, kind, there))
    parts = (
        Part(words=(_HOW_BOUND,), figures=figures),
        Part("What bounds each cell", table=_bottlenecks(cells)),
        Part(table=tables.cpu_per_100k(cells), summary="CPU for 100,000 stored events, and memory"),
    )
    return Section("cpu", "CPU by role, and the bottleneck", "CPU", parts)


def _bottlenecks(cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        bound = cell.bottleneck
        name = (bound.name or "no CPU limit") if bound else formats.NOTHING
        rows.append([cell.label_with_kind, name, bound.evidence if bound else formats.NOTHING])
    return tables.table(["cell", "bottleneck", "evidence"], rows, text=3)


def backlog(by_kind: dict[str, list[Cell]]) -> Section:
    """Backlog second by second, a small figure for each cell."""
    figures = tuple(figure for group in by_kind.values() for figure in backlog_figures.panels(group))
    words = (
        "Records in Kafka that the group has not committed, each second; "
        "a line for each valid repeat, thick in the window."
    )
    return Section(
        "backlog",
        "Backlog over time",
        "Backlog",
        (Part(words=(words if figures else "No time series.",), figures=figures),),
    )


def details(cell: Cell) -> CellDetails:
    """Everything about one cell that the other sections leave out."""
    findings = [f"{repeat.name}: {text}" for repeat in cell.attempts for text in repeat.result.findings]
    reasons = [f"{repeat.name} is void: {text}" for repeat in cell.attempts for text in repeat.result.reasons]
    told = [(name, formats.value(value)) for name, value in cell.plan.axes.items() if value is not None]
    axes = "; ".join(f"{axes_of.title(name)}: {value}" for name, value in told)
    parts = [Part(words=(*findings, *reasons), table=tables.repeats_of(cell))]
    if cell.stages_ms:
        parts.append(Part("Stages", table=tables.stages_of(cell)))
    if any(repeat.result.consumers for repeat in cell.attempts):
        idle = (
            f"{formats.plural(cell.idle_consumers, 'consumer')} idle, without a partition."
            if cell.idle_consumers
            else ""
        )
        parts.append(Part("Consumers", words=(idle,), table=tables.consumers_of(cell)))
    parts.append(Part("Axes", words=(f"{axes}.",)))
    remark = f"{formats.rounded(cell.throughput.mean)} events/s" if cell.throughput else "no valid repeat"
    remark += f", {formats.plural(len(cell.valid), 'valid repeat')}" if cell.valid else ""
    remark += f", {cell.void_attempts} void" if cell.void_attempts and cell.valid else ""
    alarm = formats.plural(len(findings), "finding") if findings else ""
    return CellDetails(f"cell-{cell.plan.id}", cell.sentence, f"{cell.plan.id}: {remark}", alarm, tuple(parts))
