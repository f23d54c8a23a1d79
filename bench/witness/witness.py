"""The witness: an independent prober that sends single events and reads them from MongoDB.

    python -m bench.witness.witness --url http://127.0.0.1:8000 --folder FOLDER

It is a process of its own. It trusts neither the generator's stamps nor the worker's: it sends a few events a
second to the API and polls the collection until it reads each of them by its ``_id``. What it sends is in a ledger of
its own stream, what it saw in its log (:mod:`bench.evidence.sightings`), both in FOLDER. There it also finds the
generator's ledger, which says what the load is and when it begins. Where MongoDB is, the settings say, as for a worker.

It may cost next to nothing: :mod:`bench.witness.poller` says how.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from bench.errors import RepeatError
from bench.evidence import sightings
from bench.evidence.sightings import SightingsWriter
from bench.witness.poller import Collected, DocumentPoller, Outstanding
from bench.witness.post import post
from pipeline import settings
from pipeline.commands.supervision import child_environment
from pipeline.errors import CorruptLogError, TidemarkError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings
from traffic import ledger
from traffic.answer import Answer, outcomes_of
from traffic.identity import WITNESS_STREAM
from traffic.ledger import NO_TIME, LedgerHead, LedgerWriter, Outcome
from traffic.payload import SINGLE_PATH
from traffic.timeslices import ask_for_short_turns

_ROOT = Path(__file__).resolve().parents[2]
LOAD_IS_OVER = signal.SIGUSR1  # offer no more; SIGTERM: and end
_SIGNALS = (LOAD_IS_OVER, signal.SIGTERM, signal.SIGINT)
_ANSWER_S = 15.0  # as long as the generator waits for an answer
_LAST_ANSWERS_S = 2.0
_START_S = 120.0
_TURN_S = 0.02
_NS = 1_000_000_000


@dataclass(frozen=True)
class Signals:
    """The witness's input."""

    load_is_over: asyncio.Event
    end: asyncio.Event

    def by(self, number: int) -> None:
        """Take a signal: the load is over, which leaves time to read what is stored of it, or end."""
        self.load_is_over.set()
        if number != LOAD_IS_OVER:
            self.end.set()


class Witness:
    """One repeat's witness, from the epoch until all of its events are accounted for."""

    def __init__(self, folder: Path, of_load: LedgerHead, url: str, collected: Collected, signals: Signals) -> None:
        """``of_load``: the head of the generator's ledger."""
        self._head = LedgerHead(
            spec=of_load.spec,
            index=WITNESS_STREAM,
            count=1,
            epoch_monotonic_ns=of_load.epoch_monotonic_ns,
            epoch_unix_ns=of_load.epoch_unix_ns,
            pid=os.getpid(),
        )
        self._url = url
        self._signals = signals
        self._content = sightings.content_of(of_load.spec)
        self._ledger = LedgerWriter(ledger.path_of(folder, WITNESS_STREAM), self._head)
        self._poller = DocumentPoller(collected, SightingsWriter(folder), self._now_ns)
        self._sending: set[asyncio.Task[None]] = set()
        self._stopped_ns: int | None = None

    async def run(self) -> tuple[int, int]:
        """Send what is due, read what is stored; return how many events were offered, and how many read."""
        polling = asyncio.get_running_loop().run_in_executor(None, self._poller.run)
        try:
            async with asyncio.TaskGroup() as sending:  # what ends one of them ends the witness
                offered = await self._offer(sending)
                await self._answers()
        except BaseException:
            self._poller.flush()
            raise
        finally:
            self._poller.no_more()
        end = asyncio.ensure_future(self._signals.end.wait())
        either: list[asyncio.Future[Any]] = [polling, end]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        self._poller.flush()
        await polling
        self._ledger.close(offered, self._stopped_ns)
        return offered, self._poller.seen

    async def _offer(self, sending: asyncio.TaskGroup) -> int:
        due_ns = sightings.due_ns(self._head.spec).tolist()
        for sequence, intended_ns in enumerate(due_ns):
            if not await self._until(intended_ns):
                self._stopped_ns = min(self._now_ns(), intended_ns - 1)
                return sequence
            task = sending.create_task(self._send(sequence, intended_ns))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(due_ns)

    async def _until(self, intended_ns: int) -> bool:
        """Wait until then; False if the load is over before."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._signals.load_is_over.wait(), max(0.0, (intended_ns - self._now_ns()) / _NS))
        return not self._signals.load_is_over.is_set()

    async def _send(self, sequence: int, intended_ns: int) -> None:
        unix_ms = sightings.unix_ms_of(self._head.epoch_unix_ns, intended_ns)
        body = self._content.encode(WITNESS_STREAM, sequence, unix_ms)
        sent_ns = self._now_ns()
        try:
            answer = await post(self._url, SINGLE_PATH, body, _ANSWER_S)
        except asyncio.CancelledError:  # at the very end: it is in the ledger all the same
            answer = Answer(status=0)
        answered_ns = self._now_ns() if answer.status else NO_TIME
        ((outcome, _),) = outcomes_of(answer, 1)
        self._ledger.record(sequence, 1, intended_ns, sent_ns, answered_ns, outcome)
        self._ledger.flush()
        if outcome is not Outcome.REJECTED:
            document_id = sightings.document_id(self._head.spec.run, sequence, unix_ms)
            self._poller.watch(Outstanding(sequence, document_id, sent_ns))

    async def _answers(self) -> None:
        """Wait until each event has its answer; after SIGTERM, only a little."""
        end = asyncio.ensure_future(self._signals.end.wait())
        while self._sending and not end.done():
            await asyncio.wait({*self._sending, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=_LAST_ANSWERS_S)
            for task in late:
                task.cancel()

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._head.epoch_monotonic_ns


def witness_process(of_repeat: Settings, url: str, folder: Path) -> ChildProcess:
    """Return the witness of a load that is offered to ``url``, not started yet; it ends when the load has ended."""
    argv = [sys.executable, "-m", "bench.witness.witness", "--url", url, "--folder", str(folder)]
    environment = {**child_environment(of_repeat), "OPENBLAS_NUM_THREADS": "1"}  # numpy's own would spin at its start
    return ChildProcess("witness", argv, env=environment, cwd=_ROOT, log_path=folder / "logs" / "witness.log")


async def _head_of_load(folder: Path, signals: Signals) -> LedgerHead | None:
    """Wait for the generator's ledger and return its head; None if the load is over before.

    Raises:
        RepeatError: none came.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not signals.load_is_over.is_set():
        for path in list(folder.glob("ledger-*.log")):  # noqa: ASYNC240 - a look into a small local folder
            with contextlib.suppress(CorruptLogError):  # the head is not written yet
                return ledger.read(path).head
        await asyncio.sleep(_TURN_S)
    if signals.load_is_over.is_set():
        return None
    raise RepeatError(f"no generator wrote a ledger in {folder} within {_START_S:g} s: is --folder its folder?")


async def _witness(url: str, folder: Path, collected: Collected) -> None:
    loop, signals = asyncio.get_running_loop(), Signals(asyncio.Event(), asyncio.Event())
    # Not the loop's own handlers: it takes them away when it closes, and a signal that comes then would kill.
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: loop.call_soon_threadsafe(signals.by, number))
    head = await _head_of_load(folder, signals)
    if head is not None:
        offered, seen = await Witness(folder, head, url, collected, signals).run()
        sys.stdout.write(f"{offered} events offered, {seen} of them read\n")
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # it ends already


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.witness.witness",
        description="Send single events to the API and poll MongoDB until each is read. The bench starts it.",
        epilog="The bench starts it beside a steady load.",
    )
    parser.add_argument("--url", required=True, help="where the API listens")
    parser.add_argument(
        "--folder", required=True, type=Path, help="where the generator's ledger is; its log goes there"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the witness; return the exit code."""
    given = _parser().parse_args(arguments)
    ask_for_short_turns()
    try:
        collected = Collected(settings.load(os.environ).mongo)
        try:
            collected.there([])  # connects: the first event shall not wait for that
            gc.freeze()  # what was imported stays
            asyncio.run(_witness(given.url, given.folder, collected))
        finally:
            collected.close()
    except TidemarkError as error:
        sys.stderr.write(f"the witness ended: {error}\n")
        return error.exit_code
    except PyMongoError as error:
        sys.stderr.write(f"the witness ended: MongoDB did not answer: {error}\n")
        return TidemarkError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
