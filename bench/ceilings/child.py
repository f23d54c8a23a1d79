"""One repeat of one bare loop, in a process of its own (``python -m bench.ceilings.child TASK``).

The task is a file (:class:`bench.ceilings.task.Task`), the servers stand in the environment; the answer is written to
the file that the task names, and exit code 0 says that it is whole.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.ceilings import consuming, inserting, loading, loops, producing
from bench.ceilings.meter import LoopMeasurement
from bench.ceilings.task import Task
from pipeline import settings
from pipeline.errors import TidemarkError
from pipeline.settings import Settings

_MEASURE: dict[str, Callable[[Task, Settings], Coroutine[Any, Any, LoopMeasurement]]] = {
    loops.INSERT: inserting.measure,
    loops.CONSUME: consuming.measure,
    loops.PRODUCE: producing.measure,
    loops.HANDLER: loading.measure,
    loops.API: loading.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Carry out the task in the file that is named; return the exit code."""
    task = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Task)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            measured = runner.run(_MEASURE[task.loop.kind](task, settings.load(os.environ)))
    except TidemarkError as error:
        sys.stderr.write(f"{task.loop.name}: {error}\n")
        return error.exit_code
    task.result_path.write_bytes(msgspec.json.encode(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
