"""The witness: an independent prober that sends single events and reads them from MongoDB.

    python -m bench.witness --url http://127.0.0.1:8000 --folder FOLDER

It is a process of its own. It trusts neither the generator's stamps nor the worker's: it sends a few events a
second to the API and polls the collection until it reads each of them by its ``_id``. What it sends is in a ledger of
its own stream, what it saw in its log (:mod:`bench.sightings`), both in FOLDER; there it also finds the generator's
ledger, which tells what the load is and when it begins. Where MongoDB is, the settings say, as for a worker.

It may cost next to nothing: one query asks for all events that are outstanding, none is asked for otherwise, and one
that is long in coming is asked for less often.
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

from bson.objectid import ObjectId
from pymongo.errors import PyMongoError

from bench import sightings
from bench.collected import Collected
from bench.errors import RepeatError
from bench.post import post
from loadtest import _ledger
from loadtest._answer import Answer, outcomes_of
from loadtest._identity import WITNESS_STREAM
from loadtest._ledger import NO_TIME, LedgerHead, LedgerWriter, Outcome
from loadtest._payload import SINGLE_PATH
from loadtest._turns import ask_for_short_turns
from pipeline import settings
from pipeline.errors import CorruptLogError, TidemarkError
from pipeline.local.process import ChildProcess
from pipeline.settings import Mongo, Settings
from pipeline.supervision import child_environment

_ROOT = Path(__file__).resolve().parent.parent
LOAD_IS_OVER = signal.SIGUSR1  # offer no more; SIGTERM: and end
POLL_S = 0.01
SLOWEST_POLL_S = 0.1
_AGE_SHARE = 10  # an event is looked for again after a tenth of the time that it has taken so far
WAIT_S = 30.0  # an event that is not there so long after it was sent is given up
MAX_OUTSTANDING = 256
_ANSWER_S = 15.0  # as long as the generator waits for an answer
_LAST_ANSWERS_S = 2.0
_START_S = 120.0
_TURN_S = 0.02
_NS = 1_000_000_000


@dataclass(frozen=True)
class Told:
    """What the witness is told from outside."""

    load_is_over: asyncio.Event
    end: asyncio.Event

    def by(self, number: int) -> None:
        """Take a signal: the load is over, which leaves time to read what is stored of it, or end."""
        self.load_is_over.set()
        if number != LOAD_IS_OVER:
            self.end.set()


@dataclass
class _Outstanding:
    """An event that was sent and not read yet."""

    sequence: int
    document_id: ObjectId
    sent_ns: int
    missed_ns: int = NO_TIME


class Witness:
    """One repeat's witness, from the epoch until all of its events are accounted for."""

    def __init__(self, folder: Path, of_load: LedgerHead, url: str, collected: Collected, told: Told) -> None:
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
        self._collected = collected
        self._told = told
        self._content = sightings.content_of(of_load.spec)
        self._ledger = LedgerWriter(_ledger.path_of(folder, WITNESS_STREAM), self._head)
        self._log = sightings.SightingsWriter(folder)
        self._outstanding: dict[int, _Outstanding] = {}
        self._wanted = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._stopped_ns: int | None = None
        self.seen = 0

    async def run(self) -> int:
        """Send what is due, read what is stored, and give how many events were offered."""
        async with asyncio.TaskGroup() as group:  # whatever ends one of its tasks ends the witness
            poller = group.create_task(self._poll())
            offered = await self._offer(group)
            await self._settle()
            poller.cancel()
        await self._look()
        for each in list(self._outstanding.values()):
            self._close(each, NO_TIME)
        self._ledger.close(offered, self._stopped_ns)
        self._log.close()
        return offered

    async def _offer(self, group: asyncio.TaskGroup) -> int:
        due_ns = sightings.due_ns(self._head.spec).tolist()
        for sequence, intended_ns in enumerate(due_ns):
            if not await self._until(intended_ns):
                self._stopped_ns = min(self._now_ns(), intended_ns - 1)
                return sequence
            task = group.create_task(self._send(sequence, intended_ns))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(due_ns)

    async def _until(self, intended_ns: int) -> bool:
        """Wait until then; False if the load is over before."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.load_is_over.wait(), max(0.0, (intended_ns - self._now_ns()) / _NS))
        return not self._told.load_is_over.is_set()

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
            self._watch(_Outstanding(sequence, document_id, sent_ns))

    def _watch(self, event: _Outstanding) -> None:
        if len(self._outstanding) >= MAX_OUTSTANDING:
            self._close(next(iter(self._outstanding.values())), NO_TIME)
        self._outstanding[event.sequence] = event
        self._wanted.set()

    async def _poll(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._pause_s())  # first: what was accepted this very moment is not stored yet
            await self._look()

    async def _look(self) -> None:
        """Ask once for all that is outstanding."""
        asked = list(self._outstanding.values())
        if asked:
            began_ns = self._now_ns()
            try:
                there = await self._collected.there([each.document_id for each in asked])
            except PyMongoError as error:
                sys.stdout.write(f"a poll was not answered: {error}\n")  # and says nothing of any event
                there = None
            ended_ns = self._now_ns()
            for each in asked:
                if there is not None and each.document_id in there:
                    self._close(each, ended_ns)
                    continue
                if there is not None:
                    each.missed_ns = began_ns
                if ended_ns - each.sent_ns > WAIT_S * _NS:
                    self._close(each, NO_TIME)
        if not self._outstanding:
            self._wanted.clear()

    def _pause_s(self) -> float:
        """How long until the next poll: the longer the oldest event takes, the less often it is asked for."""
        oldest = next(iter(self._outstanding.values()), None)
        age_s = (self._now_ns() - oldest.sent_ns) / _NS if oldest else 0.0
        return min(max(POLL_S, age_s / _AGE_SHARE), SLOWEST_POLL_S)

    def _close(self, event: _Outstanding, seen_ns: int) -> None:
        """Note what became of an event; unless that was noted before."""
        if self._outstanding.pop(event.sequence, None) is not None:
            self.seen += seen_ns != NO_TIME
            self._log.sighting(event.sequence, event.missed_ns, seen_ns)

    async def _settle(self) -> None:
        """Wait until each event has its answer and was read or given up; if told to end, a little for answers only."""
        end_ns = None
        while self._sending or (self._outstanding and not self._told.end.is_set()):
            if self._told.end.is_set():
                end_ns = end_ns or self._now_ns()
                if self._now_ns() - end_ns > _LAST_ANSWERS_S * _NS:
                    for task in self._sending:
                        task.cancel()
            await asyncio.sleep(_TURN_S)

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._head.epoch_monotonic_ns


def witness_process(of_repeat: Settings, url: str, folder: Path) -> ChildProcess:
    """Give the witness of a load that is offered to ``url``, not started yet; it ends by itself."""
    argv = [sys.executable, "-m", "bench.witness", "--url", url, "--folder", str(folder)]
    log_path = folder / "logs" / "witness.log"
    return ChildProcess("witness", argv, env=child_environment(of_repeat), cwd=_ROOT, log_path=log_path)


async def _head_of_load(folder: Path, told: Told) -> LedgerHead | None:
    """Wait for the generator's ledger and give its head; None if the load is over before.

    Raises:
        RepeatError: none came.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not told.load_is_over.is_set():
        for path in list(folder.glob("ledger-*.log")):  # noqa: ASYNC240 - a look into a small local folder
            with contextlib.suppress(CorruptLogError):  # the head is not written yet
                return _ledger.read(path).head
        await asyncio.sleep(_TURN_S)
    if told.load_is_over.is_set():
        return None
    raise RepeatError(f"no generator wrote a ledger in {folder} within {_START_S:g} s: is --folder its folder?")


async def _witness(url: str, folder: Path, mongo: Mongo) -> None:
    told = Told(asyncio.Event(), asyncio.Event())
    for number in (LOAD_IS_OVER, signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.by, number)
    collected = Collected(mongo)
    try:
        await collected.there([])  # connects: the first event shall not wait for that
        head = await _head_of_load(folder, told)
        if head is not None:
            witness = Witness(folder, head, url, collected, told)
            offered = await witness.run()
            sys.stdout.write(f"{offered} events offered, {witness.seen} of them read\n")
    finally:
        await collected.close()
        # Told to end while it is ending, when its loop no longer listens, it would be killed by that.
        signal.pthread_sigmask(signal.SIG_BLOCK, {LOAD_IS_OVER, signal.SIGTERM, signal.SIGINT})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.witness",
        description="Send single events to the API and poll MongoDB until each is read. The bench starts it by itself.",
        epilog="example: python -m bench.witness --url http://127.0.0.1:8000 --folder runs/x/cells/steady-p1-c1/1",
    )
    parser.add_argument("--url", required=True, help="where the API listens")
    parser.add_argument(
        "--folder", required=True, type=Path, help="where the generator's ledger is; its log goes there"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the witness; give the exit code."""
    given = _parser().parse_args(arguments)
    ask_for_short_turns()
    gc.freeze()  # what was imported stays
    try:
        asyncio.run(_witness(given.url, given.folder, settings.load(os.environ).mongo))
    except TidemarkError as error:
        sys.stderr.write(f"the witness ended: {error}\n")
        return error.exit_code
    except PyMongoError as error:
        sys.stderr.write(f"the witness ended: MongoDB did not answer: {error}\n")
        return TidemarkError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
