"""A busy machine: which programs use it, and whether to wait, go on or stop."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import BusyError
from bench.observe import usage
from bench.observe.sampling import UsageSampler
from bench.words import culprits
from bundle.result import Disturbance, Result

WhenBusy = Literal["ask", "wait", "go-on", "stop"]
LOOK_S = 2.5
MOST_WAIT_S = 30 * 60.0
ANSWER_S = 120.0
VOID_IN_A_ROW = 2
WORTH_NAMING = 0.03  # of the machine's CPU, taken by others
_SAY_EVERY_S = 60.0
_LOOK_EVERY_S = 5.0
_TURN_S = 0.2
_ANSWERS: dict[str, WhenBusy] = {"w": "wait", "g": "go-on", "s": "stop"}

Say = Callable[[str], None]
Note = Callable[[Disturbance, str], None]


def at_terminal() -> bool:
    """Whether somebody can be asked; a stream that was closed before the start is None."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


async def look(length_s: float = LOOK_S) -> Disturbance:
    """Measure how much CPU other programs and the host use now."""
    sampler = UsageSampler(dict)
    await asyncio.to_thread(sampler.look)
    await asyncio.sleep(length_s)
    await asyncio.to_thread(sampler.look)
    first, last = sampler.samples
    found = usage.disturbance(sampler.samples, first.at_ns, last.at_ns)
    return found or Disturbance(0.0, 0.0)


@dataclass
class Busy:
    """What to do on a busy machine. ``allowed``: the share of its CPU that others may use.

    ``ask`` without a terminal means ``stop``.

    ``note`` is called with what was found and what was done: ``waited``, ``went on`` or ``stopped``.
    """

    when: WhenBusy
    allowed: float
    say: Say
    note: Note
    look_s: float = LOOK_S
    most_wait_s: float = MOST_WAIT_S
    answer_s: float = ANSWER_S
    _void_in_a_row: int = field(default=0, init=False)

    async def before_all(self) -> None:
        """Look at the machine before anything is measured; it is busy only if a second look shows the same.

        Raises:
            BusyError: it is busy, and the run ends here.
        """
        found = await look(self.look_s)
        if self._is_busy(found):
            found = await look(self.look_s)
        if self._is_busy(found):
            await self._decide(found, "this machine is busy")

    async def after(self, result: Result) -> bool:
        """Note a repeat; act after two attempts in a row that other programs made void.

        Returns whether it acted; then much time may have passed.

        Raises:
            BusyError: the run ends here.
        """
        self._void_in_a_row = self._void_in_a_row + 1 if is_of_machine(result) else 0
        if self._void_in_a_row < VOID_IN_A_ROW or result.disturbance is None:
            return False
        self._void_in_a_row = 0
        text = f"{VOID_IN_A_ROW} attempts in a row are void because this machine is busy"
        await self._decide(result.disturbance, text)
        return True

    def _is_busy(self, found: Disturbance) -> bool:
        return found.other_programs + found.stolen > self.allowed

    async def _decide(self, found: Disturbance, what: str) -> None:
        share = found.other_programs + found.stolen
        text = f"{what}: others use {share:.0%} of its CPU, {self.allowed:.0%} are allowed: {culprits(found)}"
        then = self.when
        if then == "ask":
            then = await self._ask(text) if at_terminal() else "stop"
        elif then != "stop":
            self.say(text)
        if then == "go-on":
            self.when = then  # for the whole run: ask only once
            self.say("going on anyway (--when-busy go-on): disturbed repeats are void")
            self.note(found, "went on")
        elif then == "wait":
            await self._wait(found, text)
        else:
            self.note(found, "stopped")
            raise BusyError(text)

    async def _ask(self, text: str) -> WhenBusy:
        """Ask at the terminal; no answer counts as stop."""
        self.say(text)
        self.say(f"[w]ait until it is quiet, [g]o on, or [s]top? (no answer within {self.answer_s:.0f} s: stop)")
        deadline = time.monotonic() + self.answer_s
        while time.monotonic() < deadline:
            if select.select([sys.stdin], [], [], 0)[0]:
                typed = os.read(sys.stdin.fileno(), 1_024)
                if not typed:
                    break
                for line in typed.decode(errors="replace").split():
                    if line.lower()[0] in _ANSWERS:
                        return _ANSWERS[line.lower()[0]]
                self.say("answer w, g or s")
            await asyncio.sleep(_TURN_S)
        return "stop"

    async def _wait(self, found: Disturbance, text: str) -> None:
        """Wait until the machine is quiet.

        Raises:
            BusyError: it is still busy after ``most_wait_s``.
        """
        began = said = time.monotonic()
        self.say(f"waiting until it is quiet, for at most {self.most_wait_s / 60:g} minutes")
        while time.monotonic() - began < self.most_wait_s:
            await asyncio.sleep(min(_LOOK_EVERY_S, self.look_s))
            now = await look(self.look_s)
            waited_s = time.monotonic() - began
            if not self._is_busy(now):
                self.say(f"the machine is quiet after {waited_s:.0f} s: going on")
                self.note(found, "waited")
                return
            if time.monotonic() - said >= _SAY_EVERY_S:
                said = time.monotonic()
                self.say(f"still busy after {waited_s / 60:.0f} min, waiting: {culprits(now)}")
        self.note(found, "stopped")
        raise BusyError(f"{text}; it was not quiet within {self.most_wait_s / 60:g} minutes")


def is_of_machine(result: Result) -> bool:
    """Whether a repeat is void because of other programs: by the bound for them, or because the load came late."""
    if result.valid or result.disturbance is None:
        return False
    disturbed = result.disturbance.other_programs + result.disturbance.stolen >= WORTH_NAMING
    return any(
        each.startswith("machine:") or (disturbed and each.startswith("generator: schedule delay"))
        for each in result.reasons
    )
