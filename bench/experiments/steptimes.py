"""What the steps of an event's way cost in two checkouts, timed in turn: ``./tidemark perf``.

Each round starts a process in either checkout, both on one core; then they take turns of some milliseconds, step by
step, which first by a coin. Both time the steps that the working tree defines (bench/micro/steps.py), so that the same
is timed. CPU time, not wall time: what else runs on the machine takes no part of that, but it slows the core down and
lets go of it again, from one moment to the next; neighbouring turns meet that alike.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec
from msgspec import Struct

from bench import rounds
from bench.targets.checkout import ROOT
from pipeline.errors import ProcessFailedError, UsageError

MICRO = Path("bench") / "micro"
TURNS = 12
"""Of each side, for each step, in a round."""
MOST_ROUNDS = 1000
_ROUND_TIMEOUT_S = 300.0
_END_S = 10.0


class StepTimes(Struct, frozen=True):
    """What a step cost in microseconds of CPU an event in BASE and NEW: of each round the median of its turns.

    ``ratios``: BASE by NEW, of each round the median over neighbouring turns. ``note``: which revision has no
    such step, or another definition of it; where one has none there are no times.
    """

    name: str
    role: str
    does: str
    base_us: tuple[float, ...] = ()
    new_us: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    note: str = ""


class StepsRequest(NamedTuple):
    """What is to be timed: the folders of both checkouts, the steps (none: all), and how often."""

    base: Path
    new: Path
    rounds: int
    names: tuple[str, ...] = ()
    seed: int = 1


class _Step(Struct, frozen=True):
    """What a stopwatch says of a step."""

    name: str
    role: str = ""
    does: str = ""
    definition: int = 0
    missing: str = ""


class _Round(NamedTuple):
    """What each side says of its steps, and the turns of those that both have."""

    steps: tuple[dict[str, _Step], dict[str, _Step]]
    turns_us: dict[str, tuple[list[float], list[float]]]


def measure(asked: StepsRequest, on_round: Callable[[int], None]) -> tuple[StepTimes, ...]:
    """Time all steps in every round; ``on_round`` is called with the number of each round that is done.

    Raises:
        UsageError: there is no such step, or so many rounds cannot be.
        ProcessFailedError: a process that times did not end well.
    """
    if not 1 <= asked.rounds <= MOST_ROUNDS:
        raise UsageError(f"{asked.rounds} rounds cannot be timed: from 1 to {MOST_ROUNDS}")
    chance = rounds.coin(asked.seed, "steps")
    done: list[_Round] = []
    for number in range(1, asked.rounds + 1):
        done.append(_round(asked, chance))
        on_round(number)
        if not done[0].turns_us:
            break
    base, new = done[0].steps
    known = dict.fromkeys((*new, *base))
    return tuple(_times_of(name, done) for name in known)


def _round(asked: StepsRequest, chance: random.Random) -> _Round:
    with ExitStack() as stack:
        sides = [stack.enter_context(_Stopwatch(folder, asked.names)) for folder in (asked.base, asked.new)]
        base, new = (side.steps() for side in sides)
        unknown = [name for name in asked.names if name not in base and name not in new]
        if unknown:
            raise UsageError(f"there is no step {', '.join(unknown)}: {MICRO / 'steps.py'} has all of them")
        both = [name for name, step in new.items() if not step.missing and name in base and not base[name].missing]
        turns: dict[str, tuple[list[float], list[float]]] = {}
        for name in both:
            turns[name] = ([], [])
            for side in rounds.neighbours([(0, 1)] * TURNS, chance):
                turns[name][side].append(sides[side].turn_us(name))
        return _Round((base, new), turns)


class _Stopwatch:
    """A process that times the code in ``folder``, as a context: it ends with the block, or after a bounded time."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        # Steps of a revision's own are for what the working tree's definition does not fit, or no longer has.
        files = [path for path in dict.fromkeys(each / MICRO / "steps.py" for each in (ROOT, folder)) if path.is_file()]
        asked = json.dumps({"files": [str(path) for path in files], "names": list(names)})
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / MICRO / "stopwatch.py"), asked],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(_ROUND_TIMEOUT_S, self._process.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        _pipe(self._process.stderr).close()

    def steps(self) -> dict[str, _Step]:
        """Return what it can time, and what not, once it is ready; from then on it keeps to one core."""
        steps = msgspec.json.decode(self._line(), type=list[_Step])
        if hasattr(os, "sched_setaffinity"):  # Linux: the same core for both sides
            os.sched_setaffinity(self._process.pid, {max(os.sched_getaffinity(0))})
        return {each.name: each for each in steps}

    def turn_us(self, name: str) -> float:
        """Have a step timed once."""
        to = _pipe(self._process.stdin)
        to.write(f"{name}\n")
        to.flush()
        return float(self._line())

    def _line(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if line:
            return line
        self._process.kill()  # it may be ending already: then this is nothing
        said = _pipe(self._process.stderr).read().strip().splitlines()
        raise ProcessFailedError(
            f"the steps in {self._folder} could not be timed: "
            f"{said[-1] if said else f'no answer within {_ROUND_TIMEOUT_S:.0f} s'}"
        )


def _pipe(end: IO[str] | None) -> IO[str]:
    if end is None:
        raise ProcessFailedError("a process was started without its pipes")  # never: it is started with all three
    return end


def _note_of(base: _Step, new: _Step) -> str:
    own = [side for step, side in ((base, "BASE"), (new, "NEW")) if step.definition]
    return f"{own[0]} timed by its own definition of the step" if own else ""


def _times_of(name: str, done: Sequence[_Round]) -> StepTimes:
    base, new = (steps.get(name, _Step(name, missing="no such step")) for steps in done[0].steps)
    named = new if new.does else base
    for step, side, other in ((base, "BASE", "NEW"), (new, "NEW", "BASE")):
        if step.missing:
            return StepTimes(name, named.role, named.does, note=f"in {other} only; {side}: {step.missing}")
    turns = [each.turns_us[name] for each in done]
    return StepTimes(
        name,
        named.role,
        named.does,
        base_us=tuple(statistics.median(base_us) for base_us, _ in turns),
        new_us=tuple(statistics.median(new_us) for _, new_us in turns),
        ratios=tuple(
            statistics.median([before / after for before, after in zip(*each, strict=True)]) for each in turns
        ),
        note=_note_of(base, new),
    )
