"""Whether the measurement is to be believed: bounds with the worst that was measured, void attempts, the witness."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bundle.reading import Bundle, Repeat
from bundle.result import Result, WitnessAgreement
from reports import formats
from reports.cells.cells import Cell
from reports.tables import Table, round_of, table

_NO_NUMBERS = re.compile(r"\d[\d,.]*")
_ASIDE = re.compile(r"\s*\([^()]*\)")


@dataclass(frozen=True)
class Bound:
    """One bound of validity: what it bounds, how a void attempt's reasons name it, how its values are written.

    ``least``: it bounds from below. ``used_up``: that sound repeats come close to it means nothing.
    """

    words: str
    named: tuple[str, ...]
    form: Callable[[float | None], str] = formats.rounded
    least: bool = False
    used_up: bool = False


@dataclass(frozen=True)
class Worst:
    """The worst value of a bound over the valid repeats, and in which."""

    value: float
    repeat: str


# Reasons end with the order of causes that was broken: docs/bundle.md, negative_durations.
_DURATIONS = (
    *("(schedule_delay)", "(service_time)", "(response_time)", "(http_and_api)", "(record_to_answer)"),
    *("(kafka_and_backlog)", "(write)", "(delivery_latency)"),
)
_SIGHTINGS = ("(fetched_to_seen)", "(missed_to_acknowledged)", "its stamps are late")
BOUNDS = {
    "schedule_delay_p99_ms": Bound("schedule delay p99, ms", ("schedule delay",)),
    "generator_cpu_share": Bound("of a core, the busiest process", ("a process used",), formats.share),
    "unsent": Bound("events unsent", ("events unsent",), formats.count),
    "clock_drift_ms_per_s": Bound("clock drift in any second, ms/s", ("drifted",), formats.drift),
    "drain_timeout_s": Bound("until the backlog was gone, s", ("drain: ",)),
    # A record timestamp is cut to whole milliseconds, so that some event always comes close to one.
    "negative_duration_ms": Bound("a duration below zero, ms", _DURATIONS, used_up=True),
    "disturbed_share": Bound("of the machine's CPU, taken by others", ("machine: ",), formats.share),
    "witness_tolerance_ms": Bound("witness against deliveries log, ms", _SIGHTINGS),
    "drain_window_s": Bound("length of a drain's window, s", ("window: it lasted",), least=True, used_up=True),
    "compare_share": Bound(
        "documents compared", ("no document was compared", "documents were compared"), formats.share, least=True
    ),
}
"""The bounds of docs/concepts.md, by the names that they have in the manifest."""
_OTHERS = "other reasons, no bound"


def worst(bundle: Bundle, name: str) -> Worst | None:
    """Find the worst that the valid repeats measured of a bound; None where nothing was."""
    least = name in BOUNDS and BOUNDS[name].least
    measured = [(r.result.bounds_measured[name], r.name) for r in bundle.valid if name in r.result.bounds_measured]
    return Worst(*(min if least else max)(measured, key=lambda pair: pair[0])) if measured else None


def bounds(bundle: Bundle) -> Table:
    """Each bound with its value, the worst measured over the valid repeats, and how many attempts it voided."""
    rows = []
    void = [repeat.result for repeat in bundle.repeats if not repeat.result.valid]
    explained = set()
    for name, value in bundle.manifest.bounds.items():
        bound, found = BOUNDS.get(name), worst(bundle, name)
        voided = [index for index, result in enumerate(void) if bound and _names(result, bound)]
        explained.update(voided)
        rows.append(
            [
                name,
                bound.words if bound else formats.NOTHING,
                "changed" if name in bundle.manifest.changed_bounds else "",
                ("at least " if bound and bound.least else "") + (bound.form if bound else formats.value)(value),
                (bound.form if bound else formats.rounded)(found.value if found else None),
                found.repeat if found and found.value else formats.NOTHING,
                formats.count(len(voided)),
            ]
        )
    rest = len(void) - len(explained)
    rows += [[_OTHERS, "", "", "", "", "", formats.count(rest)]] if rest else []
    heads = ["bound", "of", "", "value", "worst measured", "in", "attempts voided"]
    return table(heads, rows, text=3, words=["in"])


def _names(result: Result, bound: Bound) -> bool:
    return any(words in reason for words in bound.named for reason in result.reasons)


def void_attempts(bundle: Bundle) -> Table:
    """One row a void attempt: every reason, and what became of the repeat."""
    valid = {(r.result.cell, r.result.round): r.result.attempt for r in bundle.valid}
    rows = []
    for repeat in bundle.repeats:
        if repeat.result.valid:
            continue
        after = valid.get((repeat.result.cell, repeat.result.round))
        then = f"replaced by attempt {after}" if after else "not replaced"
        rows.append([repeat.name, "; ".join(repeat.result.reasons) or formats.NOTHING, then])
    return table(["void attempt", "why it does not count", "then"], rows, text=3, caption="Void attempts")


def void_reasons(bundle: Bundle) -> Table:
    """The reasons, alike but for their numbers, with how many attempts and cells have each."""
    having: dict[str, list[Repeat]] = {}
    reasons: dict[str, list[str]] = {}
    for repeat in bundle.repeats:
        for reason in repeat.result.reasons if not repeat.result.valid else ():
            kind = _NO_NUMBERS.sub("#", _ASIDE.sub("", reason))
            having.setdefault(kind, []).append(repeat)
            reasons.setdefault(kind, []).append(reason)
    rows = [
        [_example(reasons[kind]), formats.count(len(having[kind])), formats.count(len(_cells(having[kind])))]
        for kind in sorted(having, key=lambda kind: -len(having[kind]))
    ]
    return table(["why attempts do not count", "attempts", "cells"], rows, caption="Void attempts by reason")


def _example(reasons: Sequence[str]) -> str:
    first = _ASIDE.sub("", reasons[0])
    return first if len(set(reasons)) == 1 else f"{first}; and the like"


def _cells(repeats: Iterable[Repeat]) -> set[str]:
    return {repeat.result.cell for repeat in repeats}


def witnesses(cells: Sequence[Cell]) -> Table:
    """One row a cell with a witness: what it read against what was logged, over the valid repeats."""
    rows = []
    for cell in cells:
        witnessed = [repeat.result.witness for repeat in cell.valid if repeat.result.witness]
        if witnessed:
            rows.append([cell.label_with_kind, formats.count(len(witnessed)), *_agreement(witnessed)])
    return table(["cell", "repeats", *_AGREEMENT], rows, marked=[])


def witness_of(cell: Cell) -> Table:
    """One row an attempt of one cell that had a witness."""
    having = [(repeat.result, repeat.result.witness) for repeat in cell.attempts if repeat.result.witness]
    rows = [[round_of(result), "valid" if result.valid else "void", *_agreement([seen])] for result, seen in having]
    marked = [index for index, (_, seen) in enumerate(having) if seen.disagreeing]
    return table(["round", "validity", *_AGREEMENT], rows, text=2, marked=marked)


_AGREEMENT = (
    "events read",
    "disagreeing",
    "tolerance, ms",
    "polling resolution, ms",
    "p50 seen, ms",
    "p50 logged, ms",
    "most beyond resolution, ms",
)


def _agreement(witnessed: Sequence[WitnessAgreement]) -> list[str]:
    return [
        formats.count(sum(one.events for one in witnessed)),
        formats.count(sum(one.disagreeing for one in witnessed)),
        _range(one.tolerance_ms for one in witnessed),
        _range(one.resolution_ms for one in witnessed),
        _range(one.seen_p50_ms for one in witnessed),
        _range(one.logged_p50_ms for one in witnessed),
        formats.milliseconds(max(one.beyond_max_ms for one in witnessed)),
    ]


def _range(values: Iterable[float | None]) -> str:
    """Lowest and highest of the repeats: percentiles are never averaged."""
    there = [value for value in values if value is not None]
    if not there:
        return formats.NOTHING
    low, high = formats.milliseconds(min(there)), formats.milliseconds(max(there))
    return low if low == high else f"{low} to {high}"
