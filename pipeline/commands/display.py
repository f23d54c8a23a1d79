"""What ``up`` shows: a table of what is where, and one line that lives."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from msgspec import Struct

from pipeline.commands.progress import EventCounts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_PLAIN_EVERY_S = 5.0


class StatusRow(Struct, frozen=True):
    """One row of the table: a part, where it is, and what there is to know."""

    part: str
    where: str
    what: str = ""


class StatusDisplay:
    """Writes for a person: with colour and a living line on a terminal, plain lines elsewhere."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        """``out`` is asked whether it is a terminal."""
        self._out = out
        self._console: Console | None = None
        self._status: Status | None = None
        self._last_plain = ""
        self._last_plain_s = -_PLAIN_EVERY_S
        if out.isatty() and importlib.util.find_spec("rich"):
            from rich.console import Console  # noqa: PLC0415  only a terminal needs it

            self._console = Console(file=out)

    def step(self, text: str) -> None:
        """Say what is being done now; on a terminal the next step takes its place."""
        if self._console is None:
            self._plain(text)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def note(self, text: str) -> None:
        """Say something that stays."""
        if self._console is None:
            self._plain(text)
        else:
            # Never wrapped: it may be a command to copy.
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(self, places: Sequence[StatusRow]) -> None:
        """Show what is where."""
        if self._console is None:
            parts = max(len(place.part) for place in places)
            wheres = max(len(place.where) for place in places)
            for place in places:
                self._plain(f"{place.part:<{parts}}  {place.where:<{wheres}}  {place.what}".rstrip())
            return
        from rich.table import Table  # noqa: PLC0415  as above
        from rich.text import Text  # noqa: PLC0415  as above

        self.settle()
        table = Table(show_header=False, box=None, pad_edge=False)
        for place in places:
            table.add_row(Text(place.part, style="bold"), Text(place.where, style="cyan"), Text(place.what))
        self._console.print(table)

    def live(self, progress: EventCounts) -> None:
        """Show the counts of now: each second on a terminal, when they changed and seldom elsewhere."""
        text = "   ".join(
            f"{name} {'?' if count is None else format(count, ',')}"
            for name, count in (
                ("accepted", progress.accepted),
                ("stored", progress.stored),
                ("backlog", progress.backlog),
            )
        )
        if self._console is not None:
            self.step(f"{text}   (Ctrl-C ends it)")
        elif text != self._last_plain and time.monotonic() - self._last_plain_s >= _PLAIN_EVERY_S:
            self._last_plain, self._last_plain_s = text, time.monotonic()
            self._plain(text)

    def settle(self) -> None:
        """End the living line."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _plain(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
