"""The report in few words and in numbers: ``summary.csv``, ``summary.json`` and ``summary.md``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pandas as pd

from bundle.reading import Bundle, Repeat
from bundle.result import Probe
from reports import formats
from reports.advice import advice
from reports.answer import breaking, verdict
from reports.answer.answer import AnswerRow
from reports.answer.verdict import RunVerdict
from reports.ceilings import shares
from reports.cells import reported
from reports.cells.cells import MEASURES, Cell
from reports.scaling import scaling
from reports.tables import Table, account, answers, capacity, span, table
from stats.percentiles import PERCENTILES


def to_csv(bundle: Bundle) -> str:
    """One row an attempt: cell, axes, validity, numbers and audit counts."""
    return pd.DataFrame([_row(repeat) for repeat in bundle.repeats]).to_csv(index=False)


def to_json(bundle: Bundle, cells: Sequence[Cell], judged: RunVerdict) -> str:
    """The verdict, the summed audit of valid repeats, and every cell with interval and pooled percentiles."""
    content = {
        "schema_version": bundle.manifest.schema_version,
        "run_id": bundle.manifest.run_id,
        "status": bundle.manifest.status,
        "level": judged.level,
        "exit_code": judged.exit_code,
        "finding": judged.sentence,
        "findings": [{"repeat": finding.repeat, "finding": finding.text} for finding in judged.findings],
        "undecided": list(judged.undecided),
        "culprits": list(judged.culprits),
        "cautions": list(judged.cautions),
        "answers": [_answer(row) for row in judged.rows],
        "sustainable_throughput": msgspec.to_builtins(judged.sustained.capacity if judged.sustained else None),
        "valid_repeats": sum(repeat.result.valid for repeat in bundle.repeats),
        "void_attempts": [
            {"repeat": repeat.name, "reasons": list(repeat.result.reasons), "seen": list(repeat.result.findings)}
            for repeat in bundle.repeats
            if not repeat.result.valid
        ],
        "audit": msgspec.to_builtins(verdict.total(bundle.valid)),
        "cells": [_cell(cell, bundle.manifest.hardware.cores) for cell in cells],
        "scaling": msgspec.to_builtins(scaling.group(cells)),
        "advice": msgspec.to_builtins(advice.for_report(bundle, cells)),
        "ceilings": _ceilings(bundle, cells),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _ceilings(bundle: Bundle, cells: Sequence[Cell]) -> dict[str, Any]:
    """The account of shares, costs and bounds, with the result of each bare loop."""
    found = bundle.ceilings
    loops = [
        {
            "name": loop.name,
            "events_per_s": msgspec.to_builtins(loop.events_per_s),
            "cpu_s_per_100k_events": msgspec.to_builtins(loop.cpu_s_per_100k_events),
        }
        for loop in ((*found.loops, *found.parts) if found else ())
    ]
    measured = {"measured_at": found.measured_at, "rounds": found.rounds} if found else {}
    held = msgspec.to_builtins(found.held if found else ())
    return {**measured, "loops": loops, "held": held, **msgspec.to_builtins(shares.compute(bundle, cells))}


def to_markdown(bundle: Bundle, cells: Sequence[Cell], judged: RunVerdict) -> str:
    """The answer in a line and a table, the account of every event, and what else the cells measured."""
    lines = [f"# {bundle.manifest.run_id}", "", f"**{judged.outcome}: {judged.sentence}**", ""]
    said = [f"- FINDING: {finding.repeat}: {finding.text}" for finding in judged.findings]
    said += [f"- {each}" for each in (*judged.evidence, *judged.undecided, *judged.culprits, *judged.cautions)]
    lines += [*said, ""] if said else []
    lines += [*markdown(answers.build(judged.rows)), ""] if judged.rows else []
    for identity in account.identities(
        verdict.total(bundle.valid), reported.missing(repeat.result for repeat in bundle.valid)
    ):
        parts = " + ".join(f"{count:,} {name}" for name, count in identity.parts)
        name, whole = identity.whole
        lines += [f"{whole:,} {name} {'=' if identity.adds_up else '≠'} {parts}  "]
    searched = [cell for cell in cells if cell.kind.searched]
    if searched:
        lines += ["", *markdown(capacity.searched(searched))]
    others = [cell for cell in cells if not cell.kind.searched]
    if others:
        lines += ["", *markdown(_measured(others))]
    return "\n".join([*lines, "", f"Again: `{formats.command(bundle.manifest.command)}`", ""])


def _measured(cells: Sequence[Cell]) -> Table:
    """One row a cell with throughput, percentiles and what bounds it."""
    heads = [
        "cell",
        "events/s",
        "95% t interval",
        *(f"{name}, ms" for name in ("delivery latency p50", "p95", "p99", "response time p50", "p95", "p99")),
        "valid",
        "bound by",
    ]
    rows = [
        [
            cell.plan.id,
            formats.count(cell.throughput.mean if cell.throughput else None),
            span(cell.throughput),
            *(
                formats.milliseconds(cell.percentile(measure, PERCENTILES[name]))
                for measure in ("delivery_latency", "response_time")
                for name in ("p50", "p95", "p99")
            ),
            f"{len(cell.valid)} of {len(cell.attempts)}",
            (cell.bottleneck.name or "not determined") if cell.bottleneck else formats.NOTHING,
        ]
        for cell in cells
    ]
    return table(heads, rows)


def markdown(of: Table) -> list[str]:
    """A table as the lines of a Markdown table."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"

    rule = "|" + "|".join("---:" if number else "---" for number in of.numeric) + "|"
    return [line(of.heads), rule, *(line(row) for row in of.rows)]


def _row(repeat: Repeat) -> dict[str, Any]:
    result = repeat.result
    row: dict[str, Any] = {"cell": result.cell, "kind": result.kind, "round": result.round, "attempt": result.attempt}
    # Numbers stay as they are, for programs: "2,000" is for people.
    row |= {
        name: formats.value(value) if isinstance(value, dict | list) else value for name, value in result.axes.items()
    }
    row |= {"valid": result.valid, "reasons": "; ".join(result.reasons), "findings": "; ".join(result.findings)}
    row |= {
        "throughput_events_per_s": result.throughput_events_per_s,
        "offered_load_events_per_s": result.offered_load_events_per_s,
        "achieved": result.achieved,
        "requests": result.requests,
        "schedule_delay_p99_ms": result.schedule_delay_p99_ms,
    }
    for measure in MEASURES:
        percentiles = getattr(result, f"{measure}_ms")
        row |= {f"{measure}_{name}_ms": getattr(percentiles, name, None) for name in (*PERCENTILES, "max")}
    if result.probe:
        row |= {f"probe_{name}": value for name, value in _probe(result.probe).items()}
    if result.keeping_up:
        row |= {f"keeping_up_{name}": value for name, value in msgspec.to_builtins(result.keeping_up).items()}
    row |= msgspec.to_builtins(result.audit)
    return row | {f"cpu_cores_{role}": used for role, used in result.cpu_cores_per_role.items()}


def _probe(probe: Probe) -> dict[str, Any]:
    return {**msgspec.to_builtins(probe), "why": "; ".join(probe.why)}


def _answer(row: AnswerRow) -> dict[str, Any]:
    drained = row.drained.mean if row.drained else None
    return {**row._asdict(), "label": row.label.replace("\u00a0", " "), "drained": drained}


def _cell(cell: Cell, cores_there: float) -> dict[str, Any]:
    return {
        "cell": cell.plan.id,
        "kind": cell.plan.kind,
        "axes": cell.plan.axes,
        "valid_repeats": len(cell.valid),
        "void_attempts": cell.void_attempts,
        "throughput_events_per_s": msgspec.to_builtins(cell.throughput),
        "repeats_events_per_s": [repeat.result.throughput_events_per_s for repeat in cell.counted],
        "offered_load_events_per_s": cell.offered_load,
        "achieved": cell.achieved,
        "requests": cell.requests,
        **{
            f"{measure}_ms": {name: cell.percentile(measure, q) for name, q in PERCENTILES.items()}
            for measure in MEASURES
        },
        "stages_mean_ms": cell.stages_ms,
        "cpu_cores_per_role": cell.cores,
        "cpu_s_per_100k_events": cell.cpu_s_per_100k_events(),
        "bottleneck": msgspec.to_builtins(cell.bottleneck),
        "idle_consumers": cell.idle_consumers,
        "audit": msgspec.to_builtins(cell.audit),
        "not_reported": list(reported.missing(repeat.result for repeat in cell.attempts)),
        "capacity": msgspec.to_builtins(cell.capacity),
        "breaks_first": msgspec.to_builtins(breaking.find(cell, cores_there)),
    }
