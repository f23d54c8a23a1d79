"""Tables as data: heads, text cells, which columns are numbers. Page and summaries render them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bundle.interval import Interval
from bundle.result import Result
from reports import formats

MEASURE_NAMES = {
    "delivery_latency": "Delivery latency",
    "response_time": "Response time",
    "service_time": "Service time",
}
PERCENTILE_NAMES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}

_SHORT = 34


@dataclass(frozen=True)
class Table:
    """``numeric`` says for each column whether it holds numbers; ``marked`` are the indices of rows to highlight.

    ``caption`` names the table if nothing above it does.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    marked: frozenset[int] = frozenset()
    caption: str = ""

    @property
    def short_names(self) -> bool:
        """Whether the names of the rows are short enough for one line each."""
        return all(len(row[0]) <= _SHORT for row in self.rows)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: int = 1,
    words: Sequence[str] = (),
    marked: Iterable[int] = (),
    caption: str = "",
) -> Table:
    """Make a table of numbers; its first ``text`` columns are words, and so are those whose heads are ``words``."""
    numeric = tuple(index >= text and head not in words for index, head in enumerate(heads))
    return Table(tuple(heads), tuple(tuple(row) for row in rows), numeric, frozenset(marked), caption)


def pairs(items: Iterable[tuple[str, str]]) -> Table:
    """Two columns of words."""
    return table(["", ""], [list(pair) for pair in items], text=2)


def span(interval: Interval | None) -> str:
    """An interval as ``34,100 to 38,900``."""
    if interval is None or interval.low is None:
        return formats.NOTHING
    return f"{formats.rounded(interval.low)} to {formats.rounded(interval.high)}"


def round_of(result: Result) -> str:
    """The round, with the attempt where it is not the first: ``2, attempt 3``."""
    return f"{result.round}" + (f", attempt {result.attempt}" if result.attempt > 1 else "")
