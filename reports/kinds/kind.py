"""What the reports ask of a kind of cell; each answer here is that of most kinds.

A kind speaks of results as the bundle has them, and names measures: so it needs nothing of how a page is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bundle.result import Result


class OwnMeasure(NamedTuple):
    """A number that only repeats of this kind have: compared as any other, ``of_repeat`` None where there is none."""

    name: str
    title: str
    unit: str
    more_is_better: bool
    of_repeat: Callable[[Result], float | None]


class OwnSection(NamedTuple):
    """A section of the page that only this kind has: words, and a table whose first column names cell and repeat."""

    title: str
    words: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class LabelledResults(NamedTuple):
    """The valid repeats of a cell, and what the cell is called."""

    label: str
    results: Sequence[Result]


class Kind:
    """A kind of cell, as it is shown.

    ``name``: as in the bundle. ``rank``: which kind's cells answer the question of a matrix that varies one axis, where
    several have answers; the lowest first. ``comes_first``: its cells stand before those of other kinds.

    ``whole_path``: its events come through HTTP; else they are preloaded, and its throughput bounds what the rest of
    the path can do. ``searched``: its repeats are the probes of one search: they are of different loads, so they are
    neither pooled nor paired by rounds, and the search has one answer. ``proves_loads``: its repeats show whether a
    load is held. ``scales``: a curve over consumers may be fitted through its throughput.

    ``primary``: the names of the measures of which one is judged: the first that every valid repeat has, else the last.
    ``costs``: what is judged beside it where costs are asked for, of the parts that are ours, and of all, for a part
    of ours can make Kafka or MongoDB work more. ``idle_roles``: those that have nothing to do.

    ``question``: what its throughput answers. ``heading``: that of its stages. ``repeat``: what a repeat is called.
    """

    name: str
    rank: int
    comes_first = False
    whole_path = True
    searched = False
    proves_loads = True
    scales = False
    primary: tuple[str, ...] = ("delivery_latency_p99", "delivery_latency_p50")
    costs: tuple[str, ...] = ()
    idle_roles: tuple[str, ...] = ()
    question = ""
    repeat = "round"
    own_measures: tuple[OwnMeasure, ...] = ()

    @property
    def title(self) -> str:
        """What its cells are called at the head of a part."""
        return f"{self.name.capitalize()} cells"

    @property
    def heading(self) -> str:
        """What stands above the stages of its cells."""
        return self.title

    def own_section(self, cells: Sequence[LabelledResults]) -> OwnSection | None:  # noqa: ARG002 - see a subclass
        """Return a section of its own, None if it has none; ``cells``: those of this kind."""
        return None
