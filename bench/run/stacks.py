"""The servers of a session: one stack at a time, and another in its place where a repeat needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.cells.cellspec import CellSpec
from bench.matrix import stackaxes
from bench.run import session, stackcheck
from bench.run.execution import Run, on_servers
from bench.run.ready import Ahead
from bench.targets import marks, servers
from bench.targets.servers import Servers
from pipeline.errors import ProcessFailedError, UsageError
from pipeline.local.stackspec import StackSpec


class Stacks:
    """Starts what a cell runs on, and ends what the cell before it ran on. Leave it by :meth:`leave` in any case."""

    def __init__(self, runs: Sequence[Run], logs: Path, ahead: Ahead) -> None:
        """``runs`` share the servers; ``ahead``: what is made ready on them, and goes before they do."""
        self._runs = runs
        self._logs = logs
        self._ahead = ahead
        self._cells = [cell for run in runs for cell in run.matrix.cells]
        self._several = len(stackaxes.stacks_of(self._cells)) > 1
        self._held: contextlib.AsyncExitStack | None = None
        self._servers: Servers | None = None

    def expect_startable(self, cells: Sequence[CellSpec]) -> None:
        """Check the stacks of ``cells``, in this order: see :func:`bench.run.stackcheck.expect_startable`."""
        first = self._runs[0]
        stackcheck.expect_startable(cells, first.settings, self._logs / "tried", first.display.note)

    async def at(self, spec: StackSpec | None) -> Servers:
        """Return the servers of ``spec`` (None: the user's own); start them if others, or none, are there.

        Raises:
            MissingPartError, UsageError, ProcessFailedError: they cannot be had, or did not come up.
        """
        if self._servers is not None and self._servers.spec == spec:
            return self._servers
        await self.leave()
        async with contextlib.AsyncExitStack() as held:
            started = held.enter_context(self._started(spec))
            for run in self._runs:
                own = replace(started, settings=on_servers(started, run.settings))
                name = str(run.bundle.path)
                run.take(await held.enter_async_context(marks.marked(own.settings, name, _on_left(run))))
                run.note_stack(started)
            held.push_async_callback(self._ahead.drop)
            self._held = held.pop_all()
        self._servers = started
        return started

    async def leave(self) -> None:
        """End what was started. May be called twice."""
        held, self._held, self._servers = self._held, None, None
        if held is not None:
            await held.aclose()

    @contextlib.contextmanager
    def _started(self, spec: StackSpec | None) -> Iterator[Servers]:
        """Return the servers for the block. The start blocks: nothing else runs meanwhile, and Ctrl-C reaches it."""
        first = self._runs[0]
        at_hand = servers.at_hand(first.settings, self._logs_of(spec), first.display.note, local=first.local, spec=spec)
        with contextlib.ExitStack() as held:
            try:
                with session.interruptible():
                    started = held.enter_context(at_hand)
            except (UsageError, ProcessFailedError) as error:
                if spec is None or not self._several:
                    raise
                raise stackcheck.of_a_cell(error, spec, self._cells) from error
            yield started

    def _logs_of(self, spec: StackSpec | None) -> Path:
        """Return each of several stacks a folder of its own: their servers have the same names."""
        return self._logs / servers.folder_of(spec) if self._several and spec is not None else self._logs


def _on_left(run: Run) -> Callable[[str], None]:
    """Return what to call if something is left on the servers: nothing if they end with the run."""
    return (lambda _: None) if run.local else run.display.note
