"""What the steps of an event's way cost in two checkouts, timed in turn: ``./tidemark perf``.

Each round starts one process in either checkout, which first by a coin; both time the steps that the working tree
defines (bench/micro/steps.py), so that the same is timed. CPU time, not wall time: what else runs on the machine takes
little of that.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.checkout import ROOT
from pipeline.errors import ProcessFailedError, UsageError

MICRO = Path("bench") / "micro"
BUDGET_S = 0.04
"""CPU time for each step in each round: a median of some calls of a thousand events."""
MOST_ROUNDS = 1000
_TIMEOUT_S = 120.0


class StepTimes(Struct, frozen=True):
    """What a step cost in microseconds of CPU an event, by round, in BASE and NEW.

    ``note``: which revision has no such step, or another definition of it; where one has none there are no times.
    """

    name: str
    role: str
    does: str
    base_us: tuple[float, ...] = ()
    new_us: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Asked:
    """What is to be timed: the folders of both checkouts, the steps (none: all), and how often."""

    base: Path
    new: Path
    rounds: int
    names: tuple[str, ...] = ()
    seed: int = 1


class _Line(Struct, frozen=True):
    """What the stopwatch prints of a step."""

    name: str
    role: str = ""
    does: str = ""
    definition: int = 0
    us_per_event: float | None = None
    missing: str = ""


@dataclass
class _Side:
    folder: Path
    lines: list[dict[str, _Line]] = field(default_factory=list)


def measure(asked: Asked, tell: Callable[[int], None]) -> tuple[StepTimes, ...]:
    """Time all steps in every round; ``tell`` hears the number of each round that is done.

    Raises:
        UsageError: there is no such step, or so many rounds cannot be.
        ProcessFailedError: a process that times did not end well.
    """
    if not 1 <= asked.rounds <= MOST_ROUNDS:
        raise UsageError(f"{asked.rounds} rounds cannot be timed: from 1 to {MOST_ROUNDS}")
    coin = random.Random(f"{asked.seed}/steps")  # noqa: S311 - an order, and no secret
    sides = (_Side(asked.base), _Side(asked.new))
    names = asked.names
    for number in range(1, asked.rounds + 1):
        for side in coin.sample(sides, 2):
            side.lines.append(_timed(side.folder, names))
        if number == 1:
            _refuse_unknown(asked.names, sides)
            names = tuple(name for name in sides[0].lines[0] if _is_in_both(name, sides))
            if not names:
                break
        tell(number)
    known = dict.fromkeys(name for side in reversed(sides) for name in side.lines[0])
    return tuple(_times_of(name, sides) for name in known)


def _timed(folder: Path, names: Sequence[str]) -> dict[str, _Line]:
    """Time the steps once, by the code in ``folder``; those of its own that the working tree no longer has, too."""
    files = [str(path) for path in dict.fromkeys((ROOT / MICRO / "steps.py", folder / MICRO / "steps.py"))]
    asked = {"files": [path for path in files if Path(path).is_file()], "names": list(names), "budget_s": BUDGET_S}
    command = [sys.executable, "-P", str(ROOT / MICRO / "stopwatch.py"), json.dumps(asked)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise ProcessFailedError(f"the steps in {folder} could not be timed: {told[-1] if told else error}") from error
    lines = [msgspec.json.decode(line, type=_Line) for line in done.stdout.splitlines()]
    return {line.name: line for line in lines}


def _refuse_unknown(names: Sequence[str], sides: Sequence[_Side]) -> None:
    unknown = [name for name in names if not any(name in side.lines[0] for side in sides)]
    if unknown:
        raise UsageError(f"there is no step {', '.join(unknown)}: {MICRO / 'steps.py'} has all of them")


def _is_in_both(name: str, sides: Sequence[_Side]) -> bool:
    found = [side.lines[0].get(name) for side in sides]
    return all(line is not None and line.us_per_event is not None for line in found)


def _times_of(name: str, sides: Sequence[_Side]) -> StepTimes:
    base, new = (side.lines[0].get(name, _Line(name, missing="no such step")) for side in sides)
    named = new if new.does else base
    for line, side, other in ((base, "BASE", "NEW"), (new, "NEW", "BASE")):
        if line.us_per_event is None:
            return StepTimes(name, named.role, named.does, note=f"in {other} only; {side}: {line.missing}")
    note = "" if base.definition == new.definition else "BASE timed by its own definition of the step"
    base_us, new_us = (
        tuple(value for lines in side.lines if (value := lines[name].us_per_event) is not None) for side in sides
    )
    return StepTimes(name, named.role, named.does, base_us, new_us, note)
