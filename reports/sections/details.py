"""Second by second, and cell by cell: what the sections before leave out."""

from __future__ import annotations

from reports import formats
from reports.answer import searches
from reports.cells import axes as axes_of
from reports.cells import reported
from reports.cells.cells import Cell
from reports.drawing.panel import Panel
from reports.figures import backlog as figures
from reports.figures import evidence
from reports.sections.section import CellDetails, Section, SectionPart
from reports.tables import counters, repeats, soundness

_BACKLOG = (
    "Records in Kafka that the group has not committed, each second; a line for each valid repeat, thick in the window."
)
_NO_FINDING = " (void, so it counts as no finding)"
_MOST_PANELS = 15
"""In sight, of all kinds together."""


def backlog(by_kind: dict[str, list[Cell]]) -> Section:
    """Backlog second by second, a small figure for each cell; many of a kind stand behind a summary."""
    drawn = {kind: tuple(figures.panels(group)) for kind, group in by_kind.items()}
    many = sum(map(len, drawn.values())) > _MOST_PANELS
    lacking = reported.lacks(
        [each.result for group in by_kind.values() for of in group for each in of.attempts], "backlog"
    )
    nothing = f"Backlog: {reported.NOT_REPORTED}." if lacking else "No time series."
    parts = [SectionPart(words=(_BACKLOG if any(drawn.values()) else nothing,))]
    for kind, of_kind in drawn.items():
        summary = f"{kind.capitalize()} cells, {formats.plural(len(of_kind), 'figure')}" if many else ""
        parts.append(SectionPart(figures=of_kind, small=True, summary=summary))
    return Section("backlog", "Backlog over time", "Backlog", tuple(parts))


def by_kind(groups: dict[str, list[Cell]]) -> dict[str, tuple[CellDetails, ...]]:
    """Return the details of every cell."""
    seconds = evidence.panels([of for group in groups.values() for of in group])
    return {kind: tuple(cell(of, seconds.get(of.plan.id)) for of in group) for kind, group in groups.items()}


def cell(of: Cell, seconds: Panel | None = None) -> CellDetails:
    """Everything about one cell that the other sections leave out; ``seconds``: the limit that it reached, if any."""
    found = [(repeat, text) for repeat in of.attempts for text in repeat.result.findings]
    findings = [f"{repeat.name}{'' if repeat.result.valid else _NO_FINDING}: {text}" for repeat, text in found]
    parts = [SectionPart(words=tuple(findings), table=repeats.repeats_of(of))]
    lacking = reported.sentence(repeat.result for repeat in of.attempts)
    if lacking:
        parts.append(SectionPart(words=(lacking,)))
    if of.stages_ms:
        parts.append(SectionPart("Stages", table=repeats.stages_of(of)))
    if seconds is not None:
        parts.append(SectionPart("The limit that was reached, second by second", figures=(seconds,), small=True))
    if any(repeat.result.witness for repeat in of.attempts):
        parts.append(SectionPart("Witness", table=soundness.witness_of(of)))
    parts += _counters(of)
    if any(repeat.result.consumers for repeat in of.attempts):
        idle = (
            f"{formats.plural(of.idle_consumers, 'consumer')} idle, without a partition." if of.idle_consumers else ""
        )
        parts.append(SectionPart("Consumers", words=(idle,), table=repeats.consumers_of(of)))
    axes = [(name, formats.value(value)) for name, value in of.plan.axes.items() if value is not None]
    parts.append(
        SectionPart("Axes", words=("; ".join(f"{axes_of.title(name)}: {value}" for name, value in axes) + ".",))
    )
    number = sum(repeat.result.valid for repeat, _ in found)
    alarm = formats.plural(number, "finding") if number else ""
    return CellDetails(f"cell-{of.plan.id}", of.sentence, f"{of.plan.id}: {_remark(of)}", alarm, tuple(parts))


def _counters(of: Cell) -> list[SectionPart]:
    """Event loops, Kafka's and mongod's own counters, and how the roles' processes used the machine."""
    of_servers, of_roles = counters.counters(of.counted), counters.processes(of.counted)
    parts = []
    if of_servers.rows:
        parts.append(SectionPart("Event loops, Kafka and MongoDB, by their own counters", table=of_servers))
    if of_roles.rows and len(of_roles.heads) > 1:
        parts.append(SectionPart("Processes, mean of the repeats", table=of_roles))
    return parts


def _remark(of: Cell) -> str:
    """Say in a few words what came out."""
    if of.kind.searched:
        answer = of.capacity.sustainable_events_per_s if of.capacity else None
        remark = f"{formats.rounded(answer)} events/s, {searches.interval(of.capacity)}" if answer else "no answer"
        remark += f", {formats.plural(len(of.valid), 'valid probe')}"
    else:
        remark = f"{formats.rounded(of.throughput.mean)} events/s" if of.throughput else "no valid repeat"
        remark += f", {formats.plural(len(of.valid), 'valid repeat')}" if of.valid else ""
    return remark + (f", {of.void_attempts} void" if of.void_attempts and of.valid else "")
