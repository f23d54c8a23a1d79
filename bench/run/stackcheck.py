"""Stacks that come later in a run, looked at before its first repeat: what cannot be started shows at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs

from bench.cells.cellspec import CellSpec
from bench.matrix import stackaxes
from bench.run import session
from bench.targets import servers
from pipeline.errors import ProcessFailedError, TidemarkError, UsageError
from pipeline.local import jars, room
from pipeline.local.datafolders import DataFolders
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings


def expect_startable(
    cells: Sequence[CellSpec], settings: Settings, logs: Path, on_progress: Callable[[str], None]
) -> None:
    """Fetch what the stacks of ``cells`` need, in their order, and start those whose settings no server has seen.

    It blocks. With one stack, which is started at once in any case, there is nothing to do.

    Raises:
        MissingPartError: a part of one of them cannot be had.
        UsageError, ProcessFailedError: servers do not take their settings; the message names a cell that has them.
    """
    stacks = [spec for spec in stackaxes.stacks_of(cells) if spec is not None]
    if len(stacks) <= 1:
        return
    for version in dict.fromkeys(spec.kafka_version for spec in stacks):
        jars.kafka_jars(jars.cache_folder(settings.local.cache_dir), on_progress, version=version)
    data = DataFolders(settings.local).root
    for spec in {(spec.brokers, spec.coordination, spec.mongo_members): spec for spec in stacks[1:]}.values():
        for shortage in room.shortages(spec, data):
            on_progress(shortage)
    untried = stackaxes.untried(cells)
    for number, spec in enumerate(untried, start=1):
        on_progress(f"do the servers take their settings? {number} of {len(untried)}: {spec.words()}")
        try:
            _start_once(spec, settings, logs / servers.folder_of(spec))
        except (UsageError, ProcessFailedError) as error:
            raise of_a_cell(error, spec, cells) from error


def of_a_cell(error: TidemarkError, spec: StackSpec, cells: Sequence[CellSpec]) -> TidemarkError:
    """Return an error of starting ``spec`` that names the first of ``cells`` that runs on it, and all that is set."""
    cell = next(cell for cell in cells if cell.stack == spec)
    kind = UsageError if isinstance(error, UsageError) else ProcessFailedError
    return kind(f"the servers of the cell {cell.id} ({spec.words()}) cannot be started: {error}")


def _start_once(spec: StackSpec, settings: Settings, logs: Path) -> None:
    # Nothing of them is kept, whatever the settings say of the servers that are measured.
    apart = structs.replace(settings, local=structs.replace(settings.local, data_dir="", keep_data=False))
    with session.interruptible(), servers.at_hand(apart, logs, lambda _: None, local=True, spec=spec):
        pass
