"""Writes in flight: settled oldest first, and committed only under the assignment they were fetched in."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.structs import TopicPartition

from pipeline.worker.batches import MappedBatch
from pipeline.worker.flights import Flights

PARTITION = TopicPartition("t", 0)


class Gate:
    """A write whose end the test decides on."""

    def __init__(self) -> None:
        self.gates: dict[int, asyncio.Future[None]] = {}

    async def write(self, batch: MappedBatch) -> None:
        self.gates[batch.fetched_ns] = asyncio.get_running_loop().create_future()
        await self.gates[batch.fetched_ns]


def batch(number: int, epoch: int = 0) -> MappedBatch:
    return MappedBatch(number, epoch, offsets={PARTITION: number})


async def test_offsets_are_free_only_after_the_oldest_write_is_acknowledged() -> None:
    gate = Gate()
    flights = Flights(gate.write, 2)
    await flights.start(batch(10))
    await flights.start(batch(20))
    assert flights.full
    gate.gates[20].set_result(None)
    await asyncio.sleep(0)
    assert not flights.oldest_done
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flights.settle_oldest(), 0.01)
    assert flights.committable() == {}
    gate.gates[10].set_result(None)
    await flights.settle_oldest()
    assert flights.committable() == {PARTITION: 10}
    await flights.settle_oldest()
    assert flights.committable() == {PARTITION: 20}


async def test_waiting_may_be_cancelled_without_harm_to_the_write() -> None:
    gate = Gate()
    flights = Flights(gate.write, 1)
    await flights.start(batch(10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flights.settle_oldest(), 0.01)
    gate.gates[10].set_result(None)
    await flights.settle_oldest()
    assert flights.committable() == {PARTITION: 10}


async def test_what_was_fetched_under_an_earlier_assignment_is_not_committed() -> None:
    gate = Gate()
    flights = Flights(gate.write, 2)
    await flights.start(batch(10))
    flights.begin_epoch()
    await flights.start(batch(5, epoch=1))
    for each in gate.gates.values():
        each.set_result(None)
    await flights.settle_oldest()
    assert flights.committable() == {}
    await flights.settle_oldest()
    assert flights.committable() == {PARTITION: 5}


async def test_new_assignment_forgets_what_was_settled() -> None:
    gate = Gate()
    flights = Flights(gate.write, 1)
    await flights.start(batch(10))
    gate.gates[10].set_result(None)
    await flights.settle_oldest()
    flights.begin_epoch()
    assert flights.committable() == {}


async def test_offset_that_moved_on_during_a_commit_stays_to_be_committed() -> None:
    gate = Gate()
    flights = Flights(gate.write, 2)
    for number in (10, 20):
        await flights.start(batch(number))
        gate.gates[number].set_result(None)
    await flights.settle_oldest()
    committing = flights.committable()
    await flights.settle_oldest()
    flights.committed(committing)
    assert flights.committable() == {PARTITION: 20}


async def test_error_of_a_write_comes_up_when_it_is_settled() -> None:
    async def fail(_: MappedBatch) -> None:
        raise OSError("disk full")

    flights = Flights(fail, 1)
    await flights.start(batch(1))
    with pytest.raises(OSError, match="disk full"):
        await flights.settle_oldest()
    assert flights.committable() == {}


async def test_abandoned_writes_are_cancelled_and_counted() -> None:
    gate = Gate()
    flights = Flights(gate.write, 2)
    waiting = batch(1)
    waiting.refusals.append(None)  # type: ignore[arg-type]  # one record, whatever it is
    await flights.start(waiting)
    assert await flights.abandon() == 1
    assert gate.gates[1].cancelled()
    assert not flights.any
