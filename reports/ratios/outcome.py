"""What a comparison comes to, as data."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.reading import Bundle
from reports import formats
from reports.cells.cells import Cell
from reports.ratios.environments import Fact
from reports.ratios.family import Tested
from reports.ratios.measures import Measure
from stats.inference import FAMILY_LEVEL, Verdict

DEFAULT_FLOOR = 0.03
DEFAULT_EFFECT = 0.10
EXIT_REGRESSION, EXIT_CANNOT_TELL = 1, 4


@dataclass(frozen=True)
class Rules:
    """``floor``: a smaller effect is none. ``effect``: what the recommended number of rounds shows.

    ``cpu``: the CPU time of an event is judged too, in the same family of tests. ``strict``: a *cannot tell* has its
    own exit code.
    """

    floor: float = DEFAULT_FLOOR
    effect: float = DEFAULT_EFFECT
    cpu: bool = False
    strict: bool = False

    @property
    def noun(self) -> str:
        """What there is one verdict for."""
        return "measure" if self.cpu else "cell"


@dataclass(frozen=True, kw_only=True)
class Ratio(Tested):
    """One measure of one cell in both runs: ``base`` and ``new`` have its value of each round."""

    measure: Measure
    base: dict[int, float]
    new: dict[int, float]


@dataclass(frozen=True)
class CellComparison:
    """One cell in both runs: one measure of it, judged, and others ``beside`` it, not judged.

    ``why``: what decided the verdict, in words. ``rounds_to_tell``: how many interleaved rounds would show the effect
    that was asked for; ``smallest_effect``: the smallest that these rounds show. None where that is not known, or
    beyond all bounds.
    """

    base: Cell
    new: Cell
    primary: Ratio
    verdict: Verdict
    why: str
    rounds_to_tell: int | None
    smallest_effect: float | None
    beside: tuple[Ratio, ...]
    judges_cpu: bool = False

    @property
    def label(self) -> str:
        """Kind and label of the cell, as BASE has it."""
        return self.base.label_with_kind

    @property
    def name(self) -> str:
        """The label, with the measure where that is not the only one of its cell which may be judged."""
        return f"{self.label}, {self.primary.measure.title}" if self.judges_cpu else self.label


@dataclass(frozen=True)
class Together:
    """All cells of one kind together: the mean of their log ratios, judged in a separate family of tests."""

    kind: str
    count: int
    primary: Ratio
    verdict: Verdict
    why: str
    smallest_effect: float | None

    @property
    def label(self) -> str:
        """``all 6 drain cells``."""
        return f"all {self.count} {self.kind} cells"


@dataclass(frozen=True)
class FindingChange:
    """One sort of finding in one cell: the first of its kind, and how many valid repeats of each run have it.

    ``base_repeats`` and ``new_repeats``: how many there are; 0 if a run has no such cell. ``is_new``: it counts as a
    regression. ``p``: if shares decide that (an objective was missed), Fisher's exact p after Holm's correction; None
    if a single one is enough (an event was lost).
    """

    cell: str
    text: str
    base: int
    new: int
    base_repeats: int
    new_repeats: int
    is_new: bool
    p: float | None = None

    @property
    def counts(self) -> str:
        """``1 of 3 repeats of BASE, 3 of 3 of NEW``, and how likely chance makes that."""
        sides = (("BASE", self.base, self.base_repeats), ("NEW", self.new, self.new_repeats))
        words = ", ".join(
            f"{have} of {formats.plural(repeats, 'repeat')} of {side}" if repeats else f"no valid repeat in {side}"
            for side, have, repeats in sides
        )
        return words if self.p is None else f"{words}: p {formats.probability(self.p)} by Fisher's exact test"


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side. ``warnings``: what a reader must know before the numbers; ``notes``: what files lack.

    ``together``: one for each kind that has two cells or more which can be tested.
    """

    base: Bundle
    new: Bundle
    rules: Rules
    interleaved: bool
    cells: tuple[CellComparison, ...]
    only_base: tuple[str, ...]
    only_new: tuple[str, ...]
    environment: tuple[Fact, ...]
    warnings: tuple[str, ...]
    findings: tuple[FindingChange, ...]
    together: tuple[Together, ...] = ()
    notes: tuple[str, ...] = ()

    def with_verdict(self, verdict: Verdict) -> tuple[CellComparison, ...]:
        """The cells, or measures of them, with one verdict."""
        return tuple(cell for cell in self.cells if cell.verdict == verdict)

    @property
    def noun(self) -> str:
        """What there is one verdict for."""
        return self.rules.noun

    @property
    def tested(self) -> int:
        """Cells, or measures of them, that Holm's correction counts."""
        return sum(cell.primary.p is not None for cell in self.cells)

    @property
    def level(self) -> float:
        """Holm's most demanding level: what the smallest p has to reach."""
        return FAMILY_LEVEL / max(self.tested, 1)

    @property
    def new_findings(self) -> tuple[FindingChange, ...]:
        """What the system did wrong in NEW and not in BASE, or more often than chance would have it."""
        return tuple(finding for finding in self.findings if finding.is_new)

    @property
    def regression(self) -> bool:
        """Whether a cell is slower, or all of a kind together are, or NEW has new findings."""
        slower = any(each.verdict == "slower" for each in self.together)
        return bool(self.with_verdict("slower") or slower or self.new_findings)

    @property
    def exit_code(self) -> int:
        """1 with a regression; else 4 with ``strict`` and a verdict *cannot tell*; else 0."""
        if self.regression:
            return EXIT_REGRESSION
        return EXIT_CANNOT_TELL if self.rules.strict and self.with_verdict("cannot tell") else 0
