"""The bare loops, and the parts of ours that are held against them: what each does, and which of them a run needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

from msgspec import Struct

from bench import kinds

Kind = Literal["insert", "consume", "produce", "handler", "worker", "api", "generator"]

INSERT: Final = "insert"
CONSUME: Final = "consume"
PRODUCE: Final = "produce"
HANDLER: Final = "handler"
WORKER: Final = "worker"
API: Final = "api"
OFFERING: Final = "generator"
ROLES: dict[str, tuple[str, ...]] = {
    INSERT: ("client", "mongodb"),
    CONSUME: ("client", "kafka"),
    PRODUCE: ("client", "kafka"),
    HANDLER: ("client", "handler"),
    WORKER: ("worker", "kafka", "mongodb"),
    API: ("client", "api", "kafka"),
    OFFERING: ("generator",),
}
"""Whose CPU is reported, by the kind of loop; the client is the process of the loop itself."""

INSERT_BATCH_EVENTS = 2_000
REQUEST_EVENTS = 100
LONGEST_S = 10.0
"""How long a repeat works at most: a slow machine then takes fewer events."""
GENERATOR = "generator"
"""The name under which the generator's calibration stands among the loops."""

_MOST_CONNECTIONS = 16
_CONSUME_EVENTS, _SEND_EVENTS, _BATCHES_EVENTS = 400_000, 100_000, 200_000
_SINGLE_REQUESTS, _BATCH_REQUESTS = 10_000, 5_000
_DRAIN_EVENTS, _DRAIN_WARM_UP, _DRAIN_COUNTED = 300_000, 30_000, 240_000
_API_SINGLE_REQUESTS, _API_BATCH_REQUESTS = 8_000, 3_000
_OFFER_S, _OFFER_WARM_UP_S = 5.0, 1.0


class Loop(Struct, frozen=True):
    """One bare loop, or one part of ours.

    ``events``: counted in a repeat, at most; ``warm_up``: before them, not counted. ``connections``: inserts under way,
    requests in hand, or workers. ``batch``: events of one insert or request. ``decoded``: events are decoded too.
    ``pooled``: events of several requests share a batch. ``apart``: workers have a core of their own, servers another.
    ``offered_load_events_per_s``: what a generator offers. ``about_s``: what a repeat takes, start and clean-up
    included, on two cores.
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
    pooled: bool = False
    apart: bool = False
    offered_load_events_per_s: float = 0.0


def every(cores: int) -> tuple[Loop, ...]:
    """Return all bare loops for a machine with so many cores."""
    return (
        *(_insert(number) for number in connections(cores)),
        _consume(decoded=False),
        _consume(decoded=True),
        Loop("produce-single", PRODUCE, "aiokafka, one send an event", _SEND_EVENTS, 5_000, 5.0),
        *(_produce(number, pooled=pooled) for pooled in (False, True) for number in (8, 64)),
        *(_handler(batch, number) for batch in (1, REQUEST_EVENTS) for number in (8, 64)),
    )


def parts(*, apart: bool) -> tuple[Loop, ...]:
    """Return the parts of ours: worker, API and generator, each as it runs in a cell, with everything that it records.

    ``apart``: also workers on a core of their own, which takes servers of ours and a system that can pin them.
    """
    return (
        *(_worker(number) for number in (1, 2)),
        *(_worker(number, apart=True) for number in ((1, 2) if apart else ())),
        *(_api(batch, number) for batch in (1, REQUEST_EVENTS) for number in (8, 64)),
        _offering("generator-105k", 105_000, REQUEST_EVENTS),
        _offering("generator-50k", 50_000, REQUEST_EVENTS),
        _offering("generator-3k-single", 3_000, 1),
    )


def together(loops: Sequence[Loop]) -> tuple[tuple[Loop, ...], ...]:
    """Put those into groups that are held against each other, to be measured one right after the other."""
    groups: dict[str, list[Loop]] = {}
    for loop in loops:
        groups.setdefault(_task_of(loop), []).append(loop)
    return tuple(map(tuple, groups.values()))


def _task_of(loop: Loop) -> str:
    if loop.kind in (INSERT, WORKER):
        return "store"
    return f"take requests of {loop.batch}" if loop.kind in (PRODUCE, HANDLER, API) else loop.kind


def needed(of_kinds: Collection[str], cores: int) -> tuple[Loop, ...]:
    """Return the loops that the ceilings of cells of these kinds rest on: a drain's need no HTTP and no producer."""
    names = {_insert(number).name for number in connections(cores)} | {"consume-decoded"}
    if any(kinds.named(name).through_http for name in of_kinds):
        names |= {"produce-pooled-8", "produce-pooled-64", "handler-single-8", "handler-batches-8"}
    return tuple(loop for loop in every(cores) if loop.name in names)


def connections(cores: int) -> tuple[int, ...]:
    """Return with how many connections the insert is measured: one, two, and one a core where there are more."""
    return (1, 2) if cores <= 2 else (1, 2, min(cores, _MOST_CONNECTIONS))  # noqa: PLR2004 - one core a connection


def round_s(loops: Collection[Loop]) -> float:
    """Return what one round of ``loops`` takes, about, in seconds."""
    return sum(loop.about_s for loop in loops)


def _insert(number: int) -> Loop:
    # As many as a drain's, of which as many count: the larger a collection is, the dearer is a document's place in it.
    return Loop(
        f"insert-{number}",
        INSERT,
        f"insert of prebuilt batches, {number} under way",
        _DRAIN_COUNTED,
        _DRAIN_WARM_UP,
        10.0,
        connections=number,
        batch=INSERT_BATCH_EVENTS,
    )


def _consume(*, decoded: bool) -> Loop:
    name, words = ("consume-decoded", "decoded by msgspec") if decoded else ("consume-bytes", "bytes only")
    return Loop(name, CONSUME, f"aiokafka getmany, {words}", _CONSUME_EVENTS, 50_000, 4.0, decoded=decoded)


def _produce(number: int, *, pooled: bool) -> Loop:
    name, words = ("pooled", "pooled over") if pooled else ("requests", "of each of")
    return Loop(
        f"produce-{name}-{number}",
        PRODUCE,
        f"aiokafka, keyed batches {words} {number} requests of {REQUEST_EVENTS} events in hand",
        _BATCHES_EVENTS,
        10_000,
        4.0,
        connections=number,
        batch=REQUEST_EVENTS,
        pooled=pooled,
    )


def _handler(batch: int, number: int) -> Loop:
    if batch == 1:
        name, words, requests = "single", "one event a request, handler that does nothing", _SINGLE_REQUESTS
    else:
        name, words, requests = "batches", f"{batch} events a request, decoded, dropped", _BATCH_REQUESTS
    return Loop(
        f"handler-{name}-{number}",
        HANDLER,
        f"Sanic, {words}, {number} connections",
        requests * batch,
        requests // 10 * batch,
        4.0,
        connections=number,
        batch=batch,
    )


def _worker(number: int, *, apart: bool = False) -> Loop:
    words = f"a drain by {number} worker{'s' if number > 1 else ''}"
    return Loop(
        f"worker-{number}{'-apart' if apart else ''}",
        WORKER,
        f"{words}, on one core, Kafka and MongoDB on another" if apart else words,
        _DRAIN_EVENTS,
        _DRAIN_WARM_UP,
        14.0,
        connections=number,
        batch=INSERT_BATCH_EVENTS,
        apart=apart,
    )


def _api(batch: int, number: int) -> Loop:
    if batch == 1:
        name, words, requests = "single", "one event a request", _API_SINGLE_REQUESTS
    else:
        name, words, requests = "batches", f"{batch} events a request", _API_BATCH_REQUESTS
    return Loop(
        f"api-{name}-{number}",
        API,
        f"the API, {words}, {number} connections",
        requests * batch,
        requests // 5 * batch,
        9.0,
        connections=number,
        batch=batch,
    )


def _offering(name: str, events_per_s: float, batch: int) -> Loop:
    return Loop(
        name,
        OFFERING,
        f"the generator, {events_per_s:,.0f} events/s in requests of {batch}, against a server that keeps nothing",
        int(events_per_s * (_OFFER_S - _OFFER_WARM_UP_S)),
        int(events_per_s * _OFFER_WARM_UP_S),
        10.0,
        batch=batch,
        offered_load_events_per_s=events_per_s,
    )
