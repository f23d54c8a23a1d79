"""A comparison as lines for a terminal, as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from reports import formats
from reports.comparison import words
from reports.page import summary
from reports.ratios.outcome import CellComparison, Comparison, Ratio, Together
from reports.tables import Table

SCHEMA_VERSION = 1
_STYLES: Mapping[str, str] = {"slower": "bold red", "faster": "bold green", "same": "green", "cannot tell": "yellow"}


def for_terminal(comparison: Comparison) -> RenderableType:
    """Return everything that a terminal shows: warnings, tables, and the outcome last, where the eye is."""
    parts: list[RenderableType] = [_run_line("BASE", comparison), _run_line("NEW", comparison)]
    parts.append(Text(f"The runs were {words.design(comparison)}. {words.HOW_RATIOS_READ}", style="dim"))
    parts += [Text(f"WARNING: {warning}", style="yellow") for warning in comparison.warnings]
    parts += ["", drawn(words.primary_table(comparison)), ""]
    together = words.together_table(comparison)
    if together is not None:
        parts += [drawn(together), ""]
    beside = words.beside_table(comparison)
    if beside is not None:
        parts += [Text("beside it, without verdict:"), drawn(beside), ""]
    alike: dict[tuple[str, str], list[str]] = {}
    for cell in comparison.cells:
        alike.setdefault((cell.verdict, cell.why), []).append(cell.name)
    parts += [
        Text(f"{', '.join(names)}: {verdict}: {why}", style="dim" if verdict == "same" else "")
        for (verdict, why), names in alike.items()
    ]
    parts += [
        Text(
            f"{'NEW FINDING' if change.is_new else 'finding'}: {change.cell}: {change.text} ({change.counts})",
            style="bold red" if change.is_new else "",
        )
        for change in comparison.findings
    ]
    outcome = "bold red" if comparison.regression else "bold"
    parts.append("")
    needed, exit_note = words.rounds_needed(comparison), words.exit_note(comparison)
    parts += [Text(needed)] if needed else []
    parts.append(Text(words.sentence(comparison), style=outcome))
    parts += [Text(exit_note, style="yellow")] if exit_note else []
    parts += [Text(f"note: {' '.join(comparison.notes)}", style="dim")] if comparison.notes else []
    return Group(*parts)


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown: outcome first, tables, and the rest to be opened."""
    base, new = comparison.base.manifest, comparison.new.manifest
    lines = [f"## {words.level_title(comparison)}: {new.run_id} against {base.run_id}", ""]
    lines += [f"**{words.sentence(comparison)}** {words.rounds_needed(comparison)}", ""]
    lines += [f"> {warning}  " for warning in comparison.warnings]
    lines += [""] * bool(comparison.warnings)
    lines += [*summary.markdown(words.primary_table(comparison)), "", f"{words.HOW_RATIOS_READ}", ""]
    together = words.together_table(comparison)
    lines += [*summary.markdown(together), ""] if together is not None else []
    findings = words.findings_table(comparison)
    if findings is not None:
        lines += ["### Findings", "", *summary.markdown(findings), ""]
    folded = {
        "Why": words.reasons_table(comparison),
        "Beside it, without verdict": words.beside_table(comparison),
        "What differs in the environments": words.environment_table(comparison, differing=True),
    }
    for title, table in folded.items():
        if table is not None:
            lines += [f"<details><summary>{title}</summary>", "", *summary.markdown(table), "", "</details>", ""]
    lines += [f"Note: {' '.join(comparison.notes)}", ""] if comparison.notes else []
    return "\n".join(lines)


def to_json(comparison: Comparison) -> str:
    """Return the comparison as JSON: docs/bundle.md says what it holds."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "base": comparison.base.manifest.run_id,
        "new": comparison.new.manifest.run_id,
        "interleaved": comparison.interleaved,
        "regression": comparison.regression,
        "outcome": words.sentence(comparison),
        "floor": comparison.rules.floor,
        "effect": comparison.rules.effect,
        "exit_code": comparison.exit_code,
        "cells": [_cell(cell) for cell in comparison.cells],
        "together": [_together(each) for each in comparison.together],
        "only_base": list(comparison.only_base),
        "only_new": list(comparison.only_new),
        "findings": [
            {
                "cell": each.cell,
                "text": each.text,
                "base": each.base,
                "new": each.new,
                "base_repeats": each.base_repeats,
                "new_repeats": each.new_repeats,
                "p": each.p,
                "is_new": each.is_new,
            }
            for each in comparison.findings
        ],
        "warnings": list(comparison.warnings),
        "notes": list(comparison.notes),
        "environment": [
            {"name": fact.name, "base": fact.base, "new": fact.new, "differs": fact.differs}
            for fact in comparison.environment
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(cell: CellComparison) -> dict[str, Any]:
    return {
        "cell": cell.base.plan.id,
        "kind": cell.base.plan.kind,
        "axes": {"base": cell.base.plan.axes, "new": cell.new.plan.axes},
        "verdict": cell.verdict,
        "why": cell.why,
        "rounds_to_tell": cell.rounds_to_tell,
        "effect_told": cell.smallest_effect,
        "primary": _ratio(cell.primary, cell),
        "beside": [_ratio(other, cell) for other in cell.beside],
    }


def _together(of: Together) -> dict[str, Any]:
    numbers = ("ratio", "low", "high", "p", "corrected_p", "smallest_p")
    return {
        "kind": of.kind,
        "count": of.count,
        "measure": of.primary.measure.name,
        "verdict": of.verdict,
        "why": of.why,
        "effect_told": of.smallest_effect,
        **{name: getattr(of.primary, name) for name in numbers},
    }


def _ratio(of: Ratio, cell: CellComparison) -> dict[str, Any]:
    measure = of.measure
    return {
        "measure": measure.name,
        "unit": measure.unit,
        "more_is_better": measure.more_is_better,
        "base": measure.of_cell(cell.base),
        "new": measure.of_cell(cell.new),
        "rounds": of.rounds,
        "ratio": of.ratio,
        "low": of.low,
        "high": of.high,
        "p": of.p,
        "corrected_p": of.corrected_p,
        "smallest_p": of.smallest_p,
        "base_by_round": {str(number): value for number, value in sorted(of.base.items())},
        "new_by_round": {str(number): value for number, value in sorted(of.new.items())},
    }


def _run_line(side: str, comparison: Comparison) -> Text:
    manifest = (comparison.base if side == "BASE" else comparison.new).manifest
    variant = f" ({manifest.variant.given})" if manifest.variant else ""
    return Text.assemble((f"{side:<5}", "bold"), f"{manifest.run_id}{variant}, {formats.moment(manifest.started_at)}")


def drawn(table: Table) -> RichTable:
    """Return a table as a terminal shows it, verdicts in colour."""
    made = RichTable(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head, numeric in zip(table.heads, table.numeric, strict=True):
        made.add_column(head, justify="right" if numeric else "left")
    for row in table.rows:
        made.add_row(*(Text(value, style=_STYLES.get(value, "")) for value in row))
    return made
