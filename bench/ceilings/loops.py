"""The bare loops: what each does, how many events it takes, and which of them a run needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["insert", "consume", "produce", "handler"]

INSERT: Final = "insert"
CONSUME: Final = "consume"
PRODUCE: Final = "produce"
HANDLER: Final = "handler"
SERVERS: dict[str, tuple[str, ...]] = {
    INSERT: ("mongodb",),
    CONSUME: ("kafka",),
    PRODUCE: ("kafka",),
    HANDLER: ("handler",),
}
"""Whose CPU counts beside the client's, by the kind of loop."""

INSERT_BATCH_EVENTS = 2_000
REQUEST_EVENTS = 100
LONGEST_S = 10.0
"""How long a repeat works at most: a slow machine then takes fewer events."""
GENERATOR = "generator"
"""The name under which the generator's calibration stands among the loops."""

_MOST_CONNECTIONS = 16
_INSERT_EVENTS, _CONSUME_EVENTS, _SEND_EVENTS, _BATCHES_EVENTS = 100_000, 400_000, 100_000, 200_000
_SINGLE_REQUESTS, _BATCH_REQUESTS = 10_000, 5_000


class Loop(Struct, frozen=True):
    """One bare loop. ``events``: counted in a repeat, at most; ``warm_up``: before them, not counted.

    ``connections``: inserts under way, or requests in hand. ``batch``: events of one of these. ``decoded``: events
    are decoded too. ``about_s``: what a repeat takes, start and clean-up included, on two cores.
    """

    name: str
    kind: Kind
    words: str
    events: int
    warm_up: int
    about_s: float
    connections: int = 1
    batch: int = 1
    decoded: bool = False


def every(cores: int) -> tuple[Loop, ...]:
    """Give all bare loops for a machine with so many cores."""
    return (
        *(_insert(number) for number in connections(cores)),
        _consume(decoded=False),
        _consume(decoded=True),
        Loop("produce-single", PRODUCE, "aiokafka, one send an event", _SEND_EVENTS, 5_000, 5.0),
        *(_produce(number) for number in (8, 64)),
        *(_handler(batch, number) for batch in (1, REQUEST_EVENTS) for number in (8, 64)),
    )


def needed(kinds: Collection[str], cores: int) -> tuple[Loop, ...]:
    """Give the loops that the ceilings of cells of these ``kinds`` rest on: a drain's need no HTTP and no producer."""
    names = {_insert(number).name for number in connections(cores)} | {"consume-decoded"}
    if any(kind != "drain" for kind in kinds):
        names |= {"produce-batches-8", "produce-batches-64", "handler-single-8", "handler-batches-8"}
    return tuple(loop for loop in every(cores) if loop.name in names)


def connections(cores: int) -> tuple[int, ...]:
    """Give with how many connections the insert is measured: one, two, and one a core where there are more."""
    return (1, 2) if cores <= 2 else (1, 2, min(cores, _MOST_CONNECTIONS))  # noqa: PLR2004 - one core a connection


def round_s(loops: Collection[Loop]) -> float:
    """Give what one round of ``loops`` takes, about, in seconds."""
    return sum(loop.about_s for loop in loops)


def _insert(number: int) -> Loop:
    return Loop(
        f"insert-{number}",
        INSERT,
        f"insert of prebuilt batches, {number} under way",
        _INSERT_EVENTS,
        2 * INSERT_BATCH_EVENTS * number,
        6.0,
        connections=number,
        batch=INSERT_BATCH_EVENTS,
    )


def _consume(*, decoded: bool) -> Loop:
    name, told = ("consume-decoded", "decoded by msgspec") if decoded else ("consume-bytes", "bytes only")
    return Loop(name, CONSUME, f"aiokafka getmany, {told}", _CONSUME_EVENTS, 50_000, 4.0, decoded=decoded)


def _produce(number: int) -> Loop:
    return Loop(
        f"produce-batches-{number}",
        PRODUCE,
        f"aiokafka, keyed batches, {number} requests of {REQUEST_EVENTS} events in hand",
        _BATCHES_EVENTS,
        10_000,
        4.0,
        connections=number,
        batch=REQUEST_EVENTS,
    )


def _handler(batch: int, number: int) -> Loop:
    if batch == 1:
        name, told, requests = "single", "one event a request, handler that does nothing", _SINGLE_REQUESTS
    else:
        name, told, requests = "batches", f"{batch} events a request, decoded, dropped", _BATCH_REQUESTS
    return Loop(
        f"handler-{name}-{number}",
        HANDLER,
        f"Sanic, {told}, {number} connections",
        requests * batch,
        requests // 10 * batch,
        4.0,
        connections=number,
        batch=batch,
    )
