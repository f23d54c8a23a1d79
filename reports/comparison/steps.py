"""Steps of an event's way, timed in two revisions in turn: judged like the cells of two runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, Protocol

import numpy as np

from reports import formats, names, tables
from reports.ratios import reasons
from reports.ratios.family import Family, Tested
from reports.ratios.outcome import Rules
from reports.tables import Table
from stats import inference, power
from stats.inference import Verdict

HOW_RATIOS_READ = (
    "Microseconds of CPU time an event (geometric means over the rounds). A ratio above 1 means that NEW is cheaper: "
    "the geometric mean over the rounds of BASE by NEW, each the median of turns next to each other, with its 95% t "
    "interval; p is corrected over all steps (Holm)."
)


class TimedStep(Protocol):
    """What is judged: one step's microseconds of CPU an event, by round, in both.

    ``ratios`` come from turns that lie next to each other, so that they are steadier than those of the times. All are
    empty, and ``note`` says why, where a revision has no such step.
    """

    @property
    def name(self) -> str:
        """Short and stable."""

    @property
    def role(self) -> str:
        """Whose CPU it costs."""

    @property
    def does(self) -> str:
        """What it does, in words."""

    @property
    def base_us(self) -> Sequence[float]:
        """In BASE."""

    @property
    def new_us(self) -> Sequence[float]:
        """In NEW."""

    @property
    def ratios(self) -> Sequence[float]:
        """BASE by NEW, by round."""

    @property
    def note(self) -> str:
        """What else a reader has to know of it."""


@dataclass(frozen=True, kw_only=True)
class JudgedStep(Tested):
    """One step, judged. ``ratio`` above 1: NEW is cheaper. Without times in both there is no verdict."""

    timed: TimedStep
    base_us: float | None = None
    new_us: float | None = None
    verdict: Verdict | None = None
    why: str


@dataclass(frozen=True)
class StepsComparison:
    """All steps of two revisions."""

    rules: Rules
    steps: tuple[JudgedStep, ...]

    def with_verdict(self, verdict: Verdict | None) -> tuple[JudgedStep, ...]:
        """The steps with one verdict; None: those that are not in both."""
        return tuple(step for step in self.steps if step.verdict == verdict)

    @property
    def regression(self) -> bool:
        """Whether a step is slower."""
        return bool(self.with_verdict("slower"))


def compare(timed: Sequence[TimedStep], rules: Rules) -> StepsComparison:
    """Judge every step that has times in both: paired log ratios, t intervals, Holm over the steps, the floor."""
    both = [each for each in timed if each.ratios]
    if not both:
        return StepsComparison(rules, tuple(_absent(each) for each in timed))
    logs = np.log([each.ratios for each in both])
    estimate = inference.paired(np.zeros_like(logs), logs)  # above 0: NEW is better
    family = Family(estimate, rules.floor)
    places = {each.name: place for place, each in enumerate(both)}
    found = []
    for each in timed:
        place = places.get(each.name)
        if place is None:
            found.append(_absent(each))
            continue
        tested, verdict = family.tested(place), family.verdicts[place]
        found.append(
            JudgedStep(
                timed=each,
                base_us=geometric_mean(each.base_us),
                new_us=geometric_mean(each.new_us),
                verdict=verdict,
                why=reasons.explain(verdict, tested, among=family.count, noun="step", floor=rules.floor),
                **dataclasses.asdict(tested),
            )
        )
    return StepsComparison(rules, tuple(found))


def table(comparison: StepsComparison) -> Table:
    """One row a step."""
    rows, marked = [], []
    for place, step in enumerate(comparison.steps):
        if step.verdict == "slower":
            marked.append(place)
        interval = formats.NOTHING if step.low is None else f"{step.low:.3f} to {step.high:.3f}"
        rows.append(
            [
                step.timed.name,
                names.role(step.timed.role),
                step.verdict or "not in both",
                formats.rounded(step.base_us),
                formats.rounded(step.new_us),
                formats.NOTHING if step.ratio is None else f"{step.ratio:.3f}",
                interval,
                formats.probability(step.corrected_p),
                step.timed.does,
            ]
        )
    heads = ["step", "role", "verdict", "BASE, us", "NEW, us", "ratio", "95% t interval", "p (Holm)", "what it does"]
    return tables.table(heads, rows, text=3, words=("what it does",), marked=marked)


def sentence(comparison: StepsComparison) -> str:
    """Say what came out: what is slower first."""
    clauses = []
    for verdict, word in (("slower", "dearer"), ("faster", "cheaper")):
        steps = [step for step in comparison.steps if step.verdict == verdict]
        words = ", ".join(f"{each.timed.name} ({_change(each)})" for each in steps)
        clauses.append(f"{word} in NEW: {words}" if steps else "")
    judged = [step for step in comparison.steps if step.verdict]
    same, undecided = len(comparison.with_verdict("same")), len(comparison.with_verdict("cannot tell"))
    floor = f"{comparison.rules.floor:.0%}"
    clauses.append(f"{same} of {formats.plural(len(judged), 'step')} the same within {floor}" if same else "")
    clauses.append(f"{formats.plural(undecided, 'step')} cannot be decided" if undecided else "")
    if undecided == len(judged) > 0 and judged[0].smallest_p * len(judged) > inference.FAMILY_LEVEL:
        clauses.append(f"fewer than {power.fewest_rounds(len(judged))} rounds can decide none")
    whole = "; ".join(clause for clause in clauses if clause) or "No step is in both"
    return whole[0].upper() + whole[1:] + "."


def notes(comparison: StepsComparison) -> tuple[str, ...]:
    """What a reader has to know of single steps."""
    return tuple(f"{step.timed.name}: {step.timed.note}" for step in comparison.steps if step.timed.note)


def as_json(comparison: StepsComparison) -> list[dict[str, Any]]:
    """Return the steps as JSON has them: docs/bundle.md says what each is."""
    return [
        {
            "step": step.timed.name,
            "role": step.timed.role,
            "does": step.timed.does,
            "verdict": step.verdict,
            "why": step.why,
            "base_us_per_event": step.base_us,
            "new_us_per_event": step.new_us,
            "rounds": step.rounds,
            "ratio": step.ratio,
            "low": step.low,
            "high": step.high,
            "p": step.p,
            "corrected_p": step.corrected_p,
            "smallest_p": step.smallest_p,
            "base_us_by_round": list(step.timed.base_us),
            "new_us_by_round": list(step.timed.new_us),
            "ratio_by_round": list(step.timed.ratios),
            "note": step.timed.note,
        }
        for step in comparison.steps
    ]


def _absent(timed: TimedStep) -> JudgedStep:
    return JudgedStep(timed=timed, why=timed.note)


def _change(step: JudgedStep) -> str:
    """How much more or less NEW costs: ``+12%, 95% interval +8% to +15%``."""
    if step.ratio is None or step.low is None or step.high is None:
        return formats.NOTHING
    more, low, high = (f"{1 / ratio - 1:+.0%}" for ratio in (step.ratio, step.high, step.low))
    return f"{more} CPU, 95% interval {low} to {high}"
