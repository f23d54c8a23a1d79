"""Times the steps of the checkout that it runs in, one process a side and round, and prints a line of JSON for each.

Called with JSON as its one argument: ``files`` that define steps (the second where the first does not fit this
checkout), ``names`` of the steps wanted (none: all) and ``budget_s`` of CPU for each. It imports nothing of the
project by itself, so that it can time revisions that do not know it.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

FEWEST, MOST = 7, 400
_WARM_UP = 2
_NS_PER_US = 1_000


def times(files: list[Path], names: list[str], budget_s: float, folder: Path) -> Iterator[dict[str, Any]]:
    """Give what each step cost: microseconds of CPU an event, or why it could not be timed."""
    modules = [_loaded(path, number) for number, path in enumerate(files)]
    known = dict.fromkeys(step.name for module in modules for step in module.STEPS)
    for name in known:
        if not names or name in names:
            yield _first_that_fits(name, modules, budget_s, folder)


def _first_that_fits(name: str, modules: list[ModuleType], budget_s: float, folder: Path) -> dict[str, Any]:
    missing = ""
    for place, module in enumerate(modules):
        step = next((each for each in module.STEPS if each.name == name), None)
        if step is None:
            continue
        own = folder / f"{name}-{place}"
        own.mkdir()
        told = {"name": name, "role": step.role, "does": step.does, "definition": place}
        try:
            call = step.make(own)
            if not step.check(call()):
                raise ValueError("it does not give what it should")  # noqa: TRY301 - one way for all that does not fit
        except Exception as error:  # noqa: BLE001 - whatever another revision raises: it is told, and the others go on
            missing = missing or f"{type(error).__name__}: {error}"
            continue
        return {**told, "us_per_event": _cpu_us(call, budget_s) / module.EVENTS}
    return {"name": name, "missing": missing}


def _cpu_us(call: Any, budget_s: float) -> float:
    """Give the median CPU time of a call."""
    for _ in range(_WARM_UP):
        call()
    gc.collect()
    gc.freeze()
    gc.disable()  # as good as off in a worker too; when it comes is chance
    spent: list[int] = []
    budget_ns = budget_s * 1e9
    try:
        while len(spent) < FEWEST or (sum(spent) < budget_ns and len(spent) < MOST):
            began = time.process_time_ns()
            call()
            spent.append(time.process_time_ns() - began)
    finally:
        gc.enable()
    return statistics.median(spent) / _NS_PER_US


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
    """Time what the argument asks for."""
    asked = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="tidemark-steps-") as folder:
        for told in times([Path(each) for each in asked["files"]], asked["names"], asked["budget_s"], Path(folder)):
            print(json.dumps(told), flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
