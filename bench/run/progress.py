"""What a run shows while it lasts: on a terminal a display that stays in place, elsewhere plain lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.run.livecounts import LiveCounts
from bench.run.plan import PlannedRepeat, duration, expected_s
from bench.words import answer, outcome
from bundle.capacity import CapacityAnswer
from bundle.result import Result

PLAIN_EVERY_S = 5.0
_REFRESH_PER_S = 4.0
_LINES_BESIDE_CELLS = 10  # of the terminal's height, what is not the table of cells
_FEWEST_CELLS_SHOWN = 3


class _Marks(NamedTuple):
    """How a repeat is shown in the row of its cell."""

    fine: str
    findings: str
    void: str
    running: str
    to_come: str


_UNICODE = _Marks("●", "✗", "∅", "◐", "·")
_ASCII = _Marks("o", "x", "0", ">", ".")
_STYLES = _Marks("green", "bold red", "yellow", "cyan", "dim")


class Display:
    """Shows a run's progress. Its methods may be called from one thread; a context manager, or call :meth:`close`."""

    def __init__(
        self, console: Console | None = None, *, plain: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``plain``: lines even on a terminal; ``console`` defaults to standard output."""
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._plain = plain or not self._console.is_terminal or self._console.is_dumb_terminal
        self._marks = _UNICODE if self._console.encoding.startswith("utf") else _ASCII
        self._order: tuple[PlannedRepeat, ...] = ()
        self._results: dict[tuple[str, int], Result] = {}
        self._measured: list[tuple[CellSpec, float]] = []
        self._searched: dict[str, CapacityAnswer] = {}
        self._search_s: float | None = None
        self._probing_s = 0.0
        self._running: PlannedRepeat | None = None
        self._started_s = 0.0
        self._phase = ""
        self._counting = LiveCounts(clock)
        self._last_line_s = float("-inf")
        self._live: Live | None = None
        self.run_dir: Path | None = None

    def begin(
        self,
        order: Iterable[PlannedRepeat],
        finished: Iterable[Result] = (),
        run_dir: Path | None = None,
        searched: Iterable[CapacityAnswer] = (),
        search_s: float | None = None,
    ) -> None:
        """Start with the plan: all repeats, the repeats and searches that are finished, and the place of the bundle.

        ``search_s``: how long all searches together may take; None: as long as they need.
        """
        self._search_s = search_s
        self._order = tuple(order)
        self._searched = {capacity.cell: capacity for capacity in searched}
        self.run_dir = run_dir
        for result in finished:
            self._take(result)
        done = len(self._order) - len(self._to_come())
        there = f", {done} of them finished before" if done else ""
        left = duration(self._expected_s(self._to_come()))
        into = f", into {run_dir}" if run_dir else ""
        self._print(f"{len(self._order)} repeats{there}; about {left} to go{into}")
        self._show()

    def repeat_started(self, planned: PlannedRepeat) -> None:
        """Show that a repeat begins; one that is begun again replaces a void attempt."""
        self._results.pop(_key(planned), None)
        self._running = planned
        self._started_s = self._clock()
        self._phase = ""
        self._counting.clear()
        if self._plain:
            self._print(f"{self._progress()} {planned.cell.id}, round {planned.round}: begins; {self._left()} left")
        self._show()

    def phase(self, text: str) -> None:
        """Show the phase of the running repeat."""
        self._phase = text
        self._plain_line()

    def live(self, offered: int, accepted: int, stored: int, backlog: int | None) -> None:
        """Show how many events of the running repeat were offered, accepted, stored; ``backlog`` None: not reported."""
        self._counting.count(offered, accepted, stored, backlog)
        self._plain_line()

    def repeat_finished(self, planned: PlannedRepeat, result: Result) -> None:
        """Show the result of a repeat."""
        took_s = self._clock() - self._started_s
        if planned.is_search:
            self._probing_s += took_s
        else:
            self._measured.append((planned.cell, took_s))
        self._take(result)
        self._running = None
        where = f"{planned.cell.id}, round {planned.round}"
        if self._plain:
            self._print(f"{self._progress()} {where}: {outcome(result)} ({duration(took_s)})")
        if not result.valid:
            self._print(f"void: {where}, attempt {result.attempt}: {'; '.join(result.reasons)}", "yellow")
        for finding in result.findings if result.valid else ():
            self._print(f"FINDING: {where}: {finding}", "bold red")
        self._show()

    def search_finished(self, capacity: CapacityAnswer) -> None:
        """Show the result of a search for capacity."""
        self._searched[capacity.cell] = capacity
        if self._plain:  # on a terminal it stands in the cell's row
            self._print(answer(capacity))
        self._show()

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._print(text)

    def close(self) -> None:
        """Remove the display; afterwards only notes may be printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._order = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __rich__(self) -> RenderableType:
        """The display at this moment."""
        return Group("", self._cells(), *self._running_lines(), self._bar())

    @property
    def results(self) -> tuple[Result, ...]:
        """What was reported: of each repeat the attempt that counts."""
        return tuple(self._results.values())

    def _take(self, result: Result) -> None:
        self._results[result.cell, result.round] = result

    def _to_come(self) -> list[PlannedRepeat]:
        return [planned for planned in self._order if not self._is_done(planned)]

    def _is_done(self, planned: PlannedRepeat) -> bool:
        if planned.is_search:
            return planned.cell.id in self._searched
        return _key(planned) in self._results

    def _progress(self) -> str:
        return f"[{len(self._order) - len(self._to_come())}/{len(self._order)}]"

    def _left(self) -> str:
        left_s = self._expected_s(self._to_come())
        if self._running is not None:
            left_s -= min(self._clock() - self._started_s, self._expected_s([self._running]))
        return f"about {duration(left_s)}"

    def _expected_s(self, repeats: Iterable[PlannedRepeat]) -> float:
        search_s = None if self._search_s is None else self._search_s - self._probing_s
        return expected_s(repeats, self._measured, Counter(cell for cell, _ in self._results), search_s)

    def _print(self, text: str, style: str = "") -> None:
        """A line that stays: above the display where there is one."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _plain_line(self) -> None:
        now_s = self._clock()
        if not self._plain or self._running is None or now_s - self._last_line_s < PLAIN_EVERY_S:
            return
        self._last_line_s = now_s
        numbers = self._counting.numbers()
        self._print(f"    {self._phase}: {numbers}" if numbers else f"    {self._phase}")

    def _show(self) -> None:
        if self._plain or not self._order:
            return
        if self._live is None:
            self._live = Live(
                self,
                console=self._console,
                transient=True,  # a run ends with its answer, cell by cell
                refresh_per_second=_REFRESH_PER_S,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.refresh()

    def _bar(self) -> RenderableType:
        done = len(self._order) - len(self._to_come())
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=max(1, len(self._order)), completed=done, width=24),
            f"{done} of {len(self._order)} repeats, {len(self._order) - done} to come, {self._left()} left",
        )
        return line

    def _running_lines(self) -> Sequence[RenderableType]:
        if self._running is None:
            words = "between two repeats" if self._to_come() else "all repeats are done"
            return (Text(words, style="dim"), Text(""))
        elapsed = duration(self._clock() - self._started_s)
        head = Text.assemble(
            (self._running.cell.id, "bold cyan"),
            f", round {self._running.round}: {self._phase or 'begins'} ({elapsed})",
        )
        numbers = self._counting.numbers()
        return (head, Text(numbers) if numbers else Text("no event counted yet", style="dim"))

    def _cells(self) -> RenderableType:
        """A row a cell: a mark for each round, and what came out last. As many as fit, around the running one."""
        cells = list({planned.cell.id: planned.cell for planned in self._order}.values())
        cells.sort(key=_place)
        room = max(_FEWEST_CELLS_SHOWN, self._console.height - _LINES_BESIDE_CELLS)
        first = 0
        if len(cells) > room and self._running is not None:
            first = min(max(0, cells.index(self._running.cell) - room // 2), len(cells) - room)
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for cell in cells[first : first + room]:
            table.add_row(Text(cell.id, no_wrap=True), self._rounds(cell), self._latest(cell))
        if len(cells) > room:
            table.add_row(Text(f"{len(cells) - room} more cells", style="dim"), "", "")
        return table

    def _rounds(self, cell: CellSpec) -> Text:
        text = Text()
        for planned in sorted(self._repeats_of(cell), key=lambda each: each.round):
            mark, style = self._mark(planned)
            text.append(mark, style)
        return text

    def _repeats_of(self, cell: CellSpec) -> Iterable[PlannedRepeat]:
        """The cell's repeats as planned, or of a search the probes so far."""
        planned = {each for each in self._order if each.cell.id == cell.id}
        if kinds.named(cell.kind).searches:
            planned |= {PlannedRepeat(cell, number) for name, number in self._results if name == cell.id}
            if self._running is not None and self._running.cell == cell:
                planned.add(self._running)
        return planned

    def _mark(self, planned: PlannedRepeat) -> tuple[str, str]:
        result = self._results.get(_key(planned))
        if planned == self._running:
            place = _Marks._fields.index("running")
        elif result is None:
            place = _Marks._fields.index("to_come")
        elif result.findings and result.valid:
            place = _Marks._fields.index("findings")
        else:
            place = _Marks._fields.index("fine" if result.valid else "void")
        return self._marks[place], _STYLES[place]

    def _latest(self, cell: CellSpec) -> Text:
        if cell.id in self._searched:
            return Text(answer(self._searched[cell.id]).partition(": ")[2], style="dim")
        results = [result for result in self._results.values() if result.cell == cell.id]
        return Text(outcome(results[-1]), style="dim") if results else Text("")


def _key(planned: PlannedRepeat) -> tuple[str, int]:
    return planned.cell.id, planned.round


def _place(cell: CellSpec) -> tuple[str, int, int, str]:
    """Drains first, then by partitions and consumers: the order of plan's run is shuffled."""
    return cell.kind, cell.partitions, cell.consumers, cell.id
