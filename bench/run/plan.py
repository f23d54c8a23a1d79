"""The plan: which repeat comes when, and how long it takes, before the run and while it lasts."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench import kinds
from bench.cells.axes import STACK_AXES
from bench.cells.bounds import changed
from bench.cells.cellspec import CellSpec
from bench.cells.objective import OfferedLoad
from bench.kinds.kind import Kind
from bench.matrix import stackaxes
from bench.matrix.matrix import Matrix
from pipeline.errors import UsageError
from pipeline.local.stackspec import StackSpec

SERVERS_START_AND_STOP_S = 12.0
_ANOTHER_SERVER_S = 4.0  # a further broker, two mongods, or ZooKeeper


class PlannedRepeat(NamedTuple):
    """One repeat to come: ``round`` counts from 1. Of a search the whole of it, its rounds are its probes."""

    cell: CellSpec
    round: int

    @property
    def is_search(self) -> bool:
        """Whether it is a search."""
        return kinds.named(self.cell.kind).searches


def order(matrix: Matrix) -> tuple[PlannedRepeat, ...]:
    """Return all repeats in the order they are run: each round has every cell once, shuffled by the matrix's seed.

    In round 1 the cells that wait for a drain's throughput come last: the drains have to have been run by then.
    After them come the searches for capacity, once in a run: each repeats its own answer.

    Cells that run on other servers come together, so that those are not started for each cell anew. Which servers come
    first is shuffled too, but a round begins with those that the round before it ended with.
    """
    repeats: list[PlannedRepeat] = []
    last: StackSpec | None = None
    for number in range(1, matrix.rounds + 1):
        cells = [cell for cell in matrix.cells if number == 1 or not kinds.named(cell.kind).searches]
        shuffled = random.Random(f"{matrix.seed}/{number}")  # noqa: S311 - an order, and no secret
        shuffled.shuffle(cells)
        if number == 1:
            cells.sort(key=_waits)  # stable: shuffled within the parts
        parts = [list(part) for _, part in itertools.groupby(cells, _waits)] if number == 1 else [cells]
        for part in filter(None, parts):  # of searches alone nothing is left after round 1
            together = _by_stack(part, shuffled, last)
            last = together[-1].stack
            repeats.extend(PlannedRepeat(cell, number) for cell in together)
    return tuple(repeats)


def _by_stack(cells: Sequence[CellSpec], shuffled: random.Random, first: StackSpec | None) -> list[CellSpec]:
    """Return ``cells`` with those of one stack together, the stacks shuffled but for ``first``."""
    stacks = list(stackaxes.stacks_of(sorted(cells, key=lambda cell: cell.id)))
    shuffled.shuffle(stacks)
    stacks.sort(key=lambda stack: stack != first)  # stable
    return sorted(cells, key=lambda cell: stacks.index(cell.stack))


def starts_s(repeats: Iterable[PlannedRepeat], *, first: bool = True) -> float:
    """Return what it takes to start and stop the servers of ``repeats`` in their order, in seconds.

    ``first``: those of the first repeat too, else only those that take their place.
    """
    stacks = [stack for stack, _ in itertools.groupby(repeat.cell.stack for repeat in repeats)]
    return sum(_start_s(stack) for stack in (stacks if first else stacks[1:]))


def _start_s(stack: StackSpec | None) -> float:
    """Return what it takes to start and stop these servers."""
    more = 0 if stack is None else (stack.brokers - 1) + (stack.mongo_members - 1) / 2 + int(stack.zookeeper)
    return SERVERS_START_AND_STOP_S + more * _ANOTHER_SERVER_S


def _waits(cell: CellSpec) -> int:
    """What has to have been measured before ``cell``: nothing, the drains, all else."""
    return kinds.named(cell.kind).waits(cell)


def estimate_s(cell: CellSpec) -> float:
    """Return what a repeat of ``cell`` may take, in seconds, from nothing but its size.

    Measured durations take its place as soon as there are any.
    """
    return kinds.named(cell.kind).estimate_s(cell)


def expected_s(
    repeats: Iterable[PlannedRepeat],
    measured: Iterable[tuple[CellSpec, float]] = (),
    probed: Mapping[str, int] | None = None,
    search_s: float | None = None,
) -> float:
    """Return what ``repeats`` will take together, in seconds, without the start of the first servers.

    ``measured``: what repeats took so far, in seconds, each with its cell. A cell that is not among them is
    estimated, in proportion to how far the estimates were off for the cells of its kind that are.
    ``probed``: how many probes each search, by its cell's name, has behind it; another is always to come.
    ``search_s``: how long all searches together may still take; None: as long as they need.
    """
    repeats = list(repeats)
    of_cell: dict[str, list[float]] = {}
    of_kind: dict[str, list[float]] = {}
    for cell, took_s in measured:
        of_cell.setdefault(cell.id, []).append(took_s)
        of_kind.setdefault(cell.kind, []).append(took_s / estimate_s(cell))
    total_s = starts_s(repeats, first=False)
    searches_s = 0.0
    for cell, _ in repeats:
        if cell.id in of_cell:
            total_s += fmean(of_cell[cell.id])
        else:
            kind = kinds.named(cell.kind)
            left_s = kind.left_s(cell, probed.get(cell.id, 0)) if probed else kind.estimate_s(cell)
            left_s *= fmean(of_kind.get(cell.kind, [1.0]))
            if kind.searches:
                searches_s += left_s
            else:
                total_s += left_s
    return total_s + min(searches_s, math.inf if search_s is None else max(0.0, search_s))


def whole_s(matrix: Matrix) -> float:
    """Return what a run of ``matrix`` takes in all, in seconds, from nothing but its size."""
    return of_repeats_s(order(matrix), matrix.search_s)


def of_repeats_s(repeats: Sequence[PlannedRepeat], search_s: float | None) -> float:
    """Return what ``repeats`` in their order take in all, in seconds, the first servers and all trials included."""
    first = _start_s(repeats[0].cell.stack)
    return first + trials_s(repeats) + expected_s(repeats, search_s=search_s)


def trials_s(repeats: Sequence[PlannedRepeat]) -> float:
    """Return what it takes to find out, before the first repeat, whether servers take their settings, in seconds."""
    return sum(_start_s(stack) for stack in stackaxes.untried(repeat.cell for repeat in repeats))


def refuse_above(name: str, whole_s: float, max_minutes: float | None) -> None:
    """Refuse the matrix ``name`` if what it takes in all, ``whole_s``, is longer than ``max_minutes``.

    Raises:
        UsageError: it is; the message says how long it takes and what to leave out.
    """
    if max_minutes is not None and whole_s > 60 * max_minutes:
        raise UsageError(
            f"the matrix {name!r} takes about {duration(whole_s)}, more than the {max_minutes:g} minutes of "
            "--max-minutes: leave cells or rounds out, or allow more"
        )


def _how_many(matrix: Matrix) -> str:
    """Count what is to come: repeats of every round, and searches."""
    searches = sum(kinds.named(cell.kind).searches for cell in matrix.cells)
    cells = len(matrix.cells) - searches
    parts = [f"{cells} cells x {matrix.rounds} rounds = {cells * matrix.rounds} repeats"] if cells else []
    if searches:
        parts.append(f"{searches} search{'es' if searches > 1 else ''} for capacity")
    return " and ".join(parts)


def describe(matrix: Matrix) -> RenderableType:
    """Return what ``plan`` shows: the cells, the order of the repeats, and the time that all of it will take."""
    repeats = order(matrix)
    total_s = whole_s(matrix)
    head = Text.assemble(
        (matrix.name, "bold"),
        f": {_how_many(matrix)}, ",
        (f"about {duration(total_s)}", "bold"),
        " on two cores",
    )
    parts: list[RenderableType] = [head, ""]
    by_kind: dict[str, list[CellSpec]] = {}
    for cell in matrix.cells:
        by_kind.setdefault(cell.kind, []).append(cell)
    for name, cells in by_kind.items():
        parts += [*_cells(kinds.named(name), cells), ""]
    if matrix.search_s is not None:
        parts += [Text(f"all searches together: at most {duration(matrix.search_s)}"), ""]
    stacks = [stack for stack, _ in itertools.groupby(repeat.cell.stack for repeat in repeats)]
    if len(stacks) > 1:
        started = f"{len(set(stacks))} kinds of servers, started {len(stacks)} times"
        parts.append(Text(f"{started}: about {duration(starts_s(repeats))} of the time"))
        if untried := len(stackaxes.untried(repeat.cell for repeat in repeats)):
            once = f"{untried} of them started once more at the beginning, to see that they take their settings"
            parts.append(Text(f"{once}: about {duration(trials_s(repeats))}"))
        parts.append("")
    parts.append(Text(f"order, shuffled by the seed {matrix.seed} within each round:"))
    rounds = Table.grid(padding=(0, 1))
    for number in range(1, matrix.rounds + 1):
        names = " ".join(repeat.cell.id for repeat in repeats if repeat.round == number)
        rounds.add_row(f"  {number}", names)
    parts.append(rounds)
    if any(kinds.named(cell.kind).waits(cell) == 1 for cell in matrix.cells):
        parts.append(Text(_DRAINS_FIRST, style="dim"))
    bounds = ", ".join(f"{name} = {getattr(matrix.bounds, name)}" for name in changed(matrix.bounds))
    if bounds:
        parts.append(Text(f"bounds that are not the default: {bounds}", style="yellow"))
    return Group(*parts)


_ALWAYS = ("partitions", "consumers")  # axes that are shown for each cell, where they are varied
_DRAINS_FIRST = "  (cells that offer a share of what a drain reached come after the drains in round 1)"


def duration(seconds: float) -> str:
    """Write a duration for a person: 45 s, 8 min 10 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _cells(kind: Kind[Any], cells: Sequence[CellSpec]) -> tuple[RenderableType, RenderableType]:
    """The cells of one kind, a row each with what differs between them, and below it the values that most have."""
    names = [name for name in kinds.axes() if kind.has(name)]
    names = [name for name in names if name not in STACK_AXES or any(cell.stack for cell in cells)]
    shown = {name: [_shown(cell, name) for cell in cells] for name in names}
    for name in dict.fromkeys(name for cell in cells for name in cell.server_settings):
        shown[name] = [str(cell.server_settings.get(name, "the server's default")) for cell in cells]
    shown["a repeat"] = [f"{kind.size_words(cell)}, about {duration(estimate_s(cell))}" for cell in cells]
    usual = {name: Counter(values).most_common(1)[0][0] for name, values in shown.items()}
    varied = [name for name in _ALWAYS if len(set(shown[name])) > 1]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text(f"{kind.name} cell", style="bold", no_wrap=True), Text("what differs", style="bold"))
    for row, cell in enumerate(cells):
        own = [name for name in shown if name in varied or shown[name][row] != usual[name]]
        differs = ", ".join(f"{name.replace('a repeat', 'size')} {shown[name][row]}" for name in own)
        table.add_row(Text(cell.id, no_wrap=True), Text(differs))
    same = [f"{name} {value}" for name, value in usual.items() if name not in varied and name != "a repeat"]
    return table, Text(f"{kind.one}: {usual['a repeat']}; unless said otherwise: {', '.join(same)}", style="dim")


def _shown(cell: CellSpec, name: str) -> str:
    value = getattr(cell, name)
    if isinstance(value, OfferedLoad):
        return f"{100 * value.share_of_drain:g}% of the slowest drain (at least {value.at_least:,.0f}/s)"
    if isinstance(value, tuple):
        return " ".join(f"{event_type}:{weight:g}" for event_type, weight in value)
    if name == "offered_load":
        return f"{value:,.0f}/s"
    if value is None:  # an event mix that the cell leaves open
        return kinds.named(cell.kind).mix_words
    return str(value)
