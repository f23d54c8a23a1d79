"""How throughput grows with the consumers, and what configuration a load needs."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.reading import Bundle
from reports import formats
from reports.advice import advice
from reports.advice.advice import Advice
from reports.advice.configurations import Configuration
from reports.cells.cells import Cell
from reports.figures import scaling as figures
from reports.scaling import scaling
from reports.scaling.scaling import Scaling
from reports.scaling.usl import Parameter
from reports.sections.section import Section, SectionPart
from reports.tables import Table, table

_LAW = (
    "The Universal Scalability Law: X(N) = λ N / (1 + σ (N − 1) + κ N (N − 1)). λ is what one consumer does alone, σ "
    "the share of the work that only one can do at a time, κ what each pair costs to keep in step. It is fitted to at "
    f"least {scaling.LEVELS_ENOUGH} numbers of consumers, and only where nothing that all of them share is saturated."
)
_HOW_DRAWN = (
    "Marks are what was measured, hollow ones are left out of the fit; the line is the fit, dashed beyond the most "
    "consumers measured, the band its 95% interval."
)
_NO_LEVELS = "No two cells of this run differ in their consumers alone, so there is no scaling to speak of."
_NO_PROOF = "No cell of this run measured the whole path (steady or capacity cells do), so nothing can be advised."
_NOTHING_VALID = "No cell that measures the whole path has a valid repeat, so nothing can be advised."
_HOW_TO_ASK = "Another load or objective: ./tidemark bench advise {run} --target EVENTS_PER_S --objective OBJECTIVE"


def section(cells: Sequence[Cell]) -> Section:
    """The fits, or why there is none, with figures of those that have levels enough."""
    curves = scaling.group(cells)
    if not curves:
        return Section("scaling", "Scaling over consumers", "Scaling", (SectionPart(words=(_NO_LEVELS,)),))
    drawn = tuple(figures.panels(curves))
    fitted = [curve for curve in curves if curve.fit]
    parts = [SectionPart(words=(_LAW,))]
    if fitted:
        parts.append(SectionPart(table=_parameters(fitted)))
    if len(fitted) < len(curves):
        parts.append(SectionPart(table=_without([curve for curve in curves if not curve.fit])))
    if drawn:
        parts.append(SectionPart(words=(_HOW_DRAWN,), figures=drawn))
    return Section("scaling", "Scaling over consumers", "Scaling", tuple(parts))


def _parameters(curves: Sequence[Scaling]) -> Table:
    """One row a parameter, its meaning beside it."""
    rows = []
    for curve in curves:
        fit = curve.fit
        if fit is None:
            continue
        peak = _estimate(fit.peak_consumers) if fit.peak_consumers else ("none", formats.NOTHING)
        name = f"{curve.kind}, {curve.label}"
        rows += [
            [name, "λ: one consumer alone, events/s", *_estimate(fit.lambda_events_per_s), curve.why],
            [name, "σ: contention", *_estimate(fit.sigma), ""],
            [name, "κ: coherency", *_estimate(fit.kappa), ""],
            [name, "consumers at the peak", *peak, ""],
            [name, "lack of fit, p", formats.rounded(fit.lack_of_fit_p), "", ""],
        ]
    heads = ["cells", "parameter", "value", "95% interval", "remark"]
    return table(heads, rows, text=2, words=["remark"], caption="The fits")


def _estimate(of: Parameter) -> tuple[str, str]:
    """A value and its interval."""
    high = formats.rounded(of.high) if of.high is not None else "no bound"
    return formats.rounded(of.value), f"{formats.rounded(of.low)} to {high}"


def _without(curves: Sequence[Scaling]) -> Table:
    """One row a group of cells without a fit; those with the same levels and the same reason share one."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for curve in curves:
        levels = ", ".join(str(level.consumers) for level in curve.levels)
        same.setdefault((curve.kind, levels, curve.why), []).append(curve.label)
    rows = [[kind, "; ".join(labels), levels, why] for (kind, levels, why), labels in same.items()]
    heads = ["cells", "of", "consumers measured", "why there is no fit"]
    return table(heads, rows, text=4, caption="Cells without a fit")


def advised(bundle: Bundle, cells: Sequence[Cell]) -> Section:
    """What to run for a few round loads, each with its proof, or what to measure where nothing holds it."""
    given = advice.for_report(bundle, cells)
    if not given:
        words = _NO_PROOF if all(not cell.kind.whole_path for cell in cells) else _NOTHING_VALID
        return Section("advice", "Which configuration for which load", "Advice", (SectionPart(words=(words,)),))
    first = given[0]
    conditions = ", ".join(f"{name} {formats.value(value)}" for name, value in first.conditions.items())
    words = (
        f"The smallest configuration that was measured to hold a load, with {_said(first)}. "
        f"Smallest: {first.smallest}. Measured with {conditions}."
    )
    parts = [SectionPart(words=(words,), table=_answers(given))]
    following = [(one.target_events_per_s, line) for one in given for line in one.measure_next]
    if following:
        rows = [[f"for {formats.count(target)} events/s", line] for target, line in following]
        parts.append(
            SectionPart(table=table(["", "what to measure next"], rows, text=2), summary="What to measure next")
        )
    parts.append(SectionPart(words=(_HOW_TO_ASK.format(run=bundle.manifest.run_id),)))
    return Section("advice", "Which configuration for which load", "Advice", tuple(parts))


def _said(of: Advice) -> str:
    name, _, limit = of.objective.partition(" <= ")
    return f"{name} {formats.unbroken(f'≤ {limit}')}"


def _answers(given: Sequence[Advice]) -> Table:
    rows = [[formats.count(one.target_events_per_s), *_answer(one)] for one in given]
    heads = ["load, events/s", "smallest configuration", "shown by"]
    return table(heads, rows, text=0, words=heads[1:])


def _answer(one: Advice) -> tuple[str, str]:
    if one.best is not None:
        return one.best.words, _proof(one.best)
    if one.extrapolation is None:
        return "none was shown to hold it", f"beyond what was measured nothing is said: {one.no_extrapolation}"
    beyond = one.extrapolation
    span = f"{formats.rounded(beyond.low_events_per_s)} to {formats.rounded(beyond.high_events_per_s)}"
    configuration = f"EXTRAPOLATION, not measured: {formats.plural(beyond.consumers, 'consumer')}, {beyond.label}"
    shown = (
        f"the fitted curve of up to {formats.plural(beyond.measured_up_to, 'consumer')} gives "
        f"{formats.rounded(beyond.events_per_s)} events/s ({span}), if {'; '.join(beyond.assumptions)}"
    )
    return configuration, shown


def _proof(best: Configuration) -> str:
    if best.shown is None:
        return formats.NOTHING
    return f"{best.shown.cell} at {formats.rounded(best.shown.load_events_per_s)} events/s: {best.shown.how}"
