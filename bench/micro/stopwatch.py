"""Times the steps of the checkout that it runs in, on demand: a process that another one asks for each turn.

Called with JSON as its one argument: ``files`` that define steps (the second for what does not fit the first) and
``names`` of the steps wanted (none: all). It prints what it can time as a line of JSON, then for each line that it
reads, a step's name, what that step cost just now. It imports nothing of the project on its own, so that it can time
revisions that do not know it.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

TURN_S = 0.002
"""CPU time of one turn, about: short, so that the two sides take turns faster than a machine changes its pace."""
FEWEST_CALLS = 1
_WARM_UP_CALLS = 3
_NS_PER_US = 1_000


@dataclass(frozen=True)
class TimeableStep:
    """A step that can be timed here. ``definition``: which of the files defines it."""

    name: str
    role: str
    does: str
    definition: int
    call: Callable[[], Any]
    events: int

    def turn_us(self) -> float:
        """Time some calls; return the median CPU time of a call, in microseconds an event."""
        spent: list[int] = []
        while len(spent) < FEWEST_CALLS or sum(spent) < TURN_S * 1e9:
            began = time.process_time_ns()
            self.call()
            spent.append(time.process_time_ns() - began)
        return statistics.median(spent) / _NS_PER_US / self.events


def prepare(files: list[Path], names: list[str], folder: Path) -> tuple[dict[str, TimeableStep], dict[str, str]]:
    """Return the steps that can be timed here, warm, and of the others why not."""
    modules = [_loaded(path, number) for number, path in enumerate(files)]
    ready: dict[str, TimeableStep] = {}
    missing: dict[str, str] = {}
    for place, module in enumerate(modules):
        for step in module.STEPS:
            if step.name in ready or (names and step.name not in names):
                continue
            own = folder / f"{step.name}-{place}"
            own.mkdir()
            try:
                call = step.make(own)
                if not step.check(call()):
                    raise ValueError("it does not give what it should")  # noqa: TRY301 - one way for all that is unfit
            except Exception as error:  # noqa: BLE001 - whatever another revision raises: it is reported, the others go on
                missing.setdefault(step.name, f"{type(error).__name__}: {error}")
                continue
            for _ in range(_WARM_UP_CALLS):
                call()
            ready[step.name] = TimeableStep(step.name, step.role, step.does, place, call, module.EVENTS)
    return ready, {name: why for name, why in missing.items() if name not in ready}


def _loaded(path: Path, number: int) -> ModuleType:
    name = f"steps_{number}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Say what can be timed, then time what is asked for until the input ends."""
    asked = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="tidemark-steps-") as folder:
        ready, missing = prepare([Path(each) for each in asked["files"]], asked["names"], Path(folder))
        shown = [
            {"name": each.name, "role": each.role, "does": each.does, "definition": each.definition}
            for each in ready.values()
        ]
        shown += [{"name": name, "missing": why} for name, why in missing.items()]
        gc.collect()
        gc.freeze()
        gc.disable()  # as good as off in a worker too; when it comes is chance
        print(json.dumps(shown), flush=True)  # noqa: T201 - what it is for
        for line in sys.stdin:
            print(ready[line.strip()].turn_us(), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
