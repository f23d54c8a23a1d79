"""The generator of one repeat: Locust on our scenarios, headless, as a process that ends at the end of its load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec

from bench.errors import RepeatError
from pipeline.errors import CorruptLogError
from pipeline.local.process import ChildProcess
from traffic import ledger
from traffic.spec import LoadSpec

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 30.0
_POLL_S = 0.05
GATE = "load-may-begin"
"""The file in the generator's folder that it waits for."""


def generator_process(
    spec: LoadSpec,
    url: str,
    processes: int,
    folder: Path,
    *,
    unsent_after_s: float | None = None,
    recorded: bool = True,
) -> ChildProcess:
    """Return the generator that offers ``spec`` to ``url``, not started yet; its ledgers go into ``folder``.

    Once started it waits for :func:`begin`. ``recorded``: without, it keeps no ledger, and nothing records the epoch.
    """
    traffic = folder / "logs" / "traffic.json"
    traffic.write_bytes(msgspec.json.encode(spec.traffic))
    options = {
        "--host": url,
        "--scenario": spec.scenario,
        "--offered-load": repr(spec.offered_load_events_per_s),
        "--arrivals": spec.arrivals,
        "--profile": spec.profile,
        "--profile-steps": str(spec.profile_shape.steps),
        "--duration": repr(spec.duration_s),
        "--seed": str(spec.seed),
        "--run-number": str(spec.run),
        "--traffic": str(traffic),
        "--begin-when": str(folder / GATE),
        "--spawn-rate": "1000",  # Locust would rather have less: its users then think, ours wait for the schedule
    }
    if recorded:
        options["--ledger"] = str(folder)
    if unsent_after_s is not None:
        options["--unsent-after"] = repr(unsent_after_s)
    if processes > 1:
        options["--processes"] = str(processes)
    argv = [sys.executable, "-m", "locust", "-f", "loadtest", "--headless", *(x for o in options.items() for x in o)]
    return ChildProcess("generator", argv, env=dict(os.environ), cwd=_ROOT, log_path=folder / "logs" / "generator.log")


async def begin(generator: ChildProcess, folder: Path) -> int:
    """Let the load begin as soon as the generator is ready, and return the epoch that it fixed (monotonic ns).

    Raises:
        RepeatError: it wrote none in time, or ended before.
    """
    gate = folder / GATE
    gate.touch()
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and generator.running():
        for path in list(folder.glob("ledger-*.log")):  # noqa: ASYNC240 - a look into a small local folder
            with contextlib.suppress(CorruptLogError):  # the head is not written yet
                epoch_ns = ledger.read(path).head.epoch_monotonic_ns
                gate.unlink()
                return epoch_ns
        await asyncio.sleep(_POLL_S)
    raise RepeatError(f"the generator wrote no ledger; {generator.last_words()}")
