"""The arrival schedule: when each request is due, how many events it holds, and whose it is.

Arrivals are open: nothing here knows what the system answers. The whole schedule is a pure function of
the :class:`LoadSpec`, made one second at a time, so that a test without an end needs no more memory than
one with. Of the requests of each kind (single events, batches) the j-th belongs to process j mod count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from math import log

import numpy as np
from numpy.typing import NDArray

from traffic.identity import WITNESS_STREAM
from traffic.profile import cumulative_s
from traffic.spec import LoadSpec, Traffic

CHUNK_S = 1.0
# Points per chunk between which the load is taken as constant.
_GRID_POINTS = 65
# Batch sizes come in blocks; each block holds every 64th of their distribution once, in random order.
_SIZES_BLOCK = 64
_NS_PER_S = 1_000_000_000
# What a random stream is for: one seed, independent numbers for each use.
_ARRIVALS, _SIZES = 1, 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """The requests of one process that are due within one second, ascending; arrays of one length.

    ``intended_ns`` (int64) counts from the epoch, ``first`` (uint64) is the sequence of a request's first
    event, ``events`` (int32) their number, ``batch`` (bool) whether they go as a batch.
    """

    intended_ns: NDArray[np.int64]
    first: NDArray[np.uint64]
    events: NDArray[np.int32]
    batch: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Requests of one kind: ``number`` names its random streams, ``requests_per_s`` at the offered load."""

    number: int
    batch: bool
    requests_per_s: float


def requests(spec: LoadSpec, index: int, count: int) -> Iterator[Chunk]:
    """Return the schedule of process ``index`` of ``count``, chunk by chunk, without an end if the spec has none.

    Sequences run from 0 without a gap. A chunk may be empty.

    Raises:
        ValueError: ``index`` is not one of ``count`` processes, or there are more than the identity has bits for.
    """
    if not 0 <= index < count <= WITNESS_STREAM:
        raise ValueError(f"process {index} of {count} cannot be: 0 <= index < count <= {WITNESS_STREAM}")
    kinds = _kinds(spec)
    taken = [0] * len(kinds)
    sequence = 0
    quota = _replay_quota(spec, index, count)
    for number in count_from():
        start_s = number * CHUNK_S
        if (spec.duration_s and start_s >= spec.duration_s) or (quota is not None and sequence >= quota):
            return
        end_s = min(start_s + CHUNK_S, spec.duration_s) if spec.duration_s else start_s + CHUNK_S
        parts = []
        for at, kind in enumerate(kinds):
            due_ns = _due_ns(spec, kind, number, start_s, end_s)
            ranks = np.arange(taken[at], taken[at] + len(due_ns))
            sizes = _sizes(spec, kind, taken[at], len(due_ns))
            taken[at] += len(due_ns)
            own = ranks % count == index
            parts.append((due_ns[own], sizes[own], np.full(int(own.sum()), kind.batch)))
        chunk = _merged(parts, sequence)
        if quota is not None:
            chunk = _cut(chunk, quota - sequence)
        sequence += int(chunk.events.sum())
        yield chunk


def offered(spec: LoadSpec, index: int, count: int, stopped_ns: int | None = None) -> int:
    """Return how many events process ``index`` of ``count`` is due to offer in all, or up to ``stopped_ns``.

    Raises:
        ValueError: neither the spec nor ``stopped_ns`` sets an end.
    """
    if stopped_ns is None and not spec.duration_s and not spec.replay_events:
        raise ValueError("a schedule without duration_s offers until it is stopped")
    total = 0
    for chunk in requests(spec, index, count):
        due = chunk.events if stopped_ns is None else chunk.events[chunk.intended_ns <= stopped_ns]
        total += int(due.sum())
        if len(due) < len(chunk.events):
            break
    return total


def mean_batch_events(traffic: Traffic) -> float:
    """Return the mean of the batch sizes, exactly: they are the floor of a log-uniform number."""
    low, high = traffic.batch_min_events, traffic.batch_max_events
    sizes = np.arange(low, high + 1, dtype=np.float64)
    return float((sizes * np.log((sizes + 1) / sizes)).sum() / log((high + 1) / low))


def _kinds(spec: LoadSpec) -> tuple[_Kind, ...]:
    """The kinds of requests that the scenario offers, and how many of each a second."""
    singles = {"visitors": 1.0, "hostile": 1.0, "mixed": spec.traffic.visitor_share}.get(spec.scenario, 0.0)
    load = spec.offered_load_events_per_s
    kinds = (
        _Kind(number=0, batch=False, requests_per_s=load * singles),
        _Kind(number=1, batch=True, requests_per_s=load * (1 - singles) / mean_batch_events(spec.traffic)),
    )
    return tuple(kind for kind in kinds if kind.requests_per_s)


def _due_ns(spec: LoadSpec, kind: _Kind, number: int, start_s: float, end_s: float) -> NDArray[np.int64]:
    """When the requests of ``kind`` are due in chunk ``number``, in all processes together."""
    grid_s = np.linspace(start_s, end_s, _GRID_POINTS)
    due = kind.requests_per_s * cumulative_s(spec, grid_s)
    if spec.arrivals == "constant":
        # The j-th request is due when j + 1/2 are: evenly spread, with the first half a gap after the epoch.
        at = np.arange(np.ceil(due[0] - 0.5), np.ceil(due[-1] - 0.5)) + 0.5
    else:
        # A Poisson process, given how many points an interval holds, has them there as independent uniforms.
        random = np.random.default_rng([spec.seed, _ARRIVALS, kind.number, number])
        expected = due[-1] - due[0]
        at = due[0] + np.sort(random.random(random.poisson(expected))) * expected
    return (np.interp(at, due, grid_s) * _NS_PER_S).astype(np.int64)


def _sizes(spec: LoadSpec, kind: _Kind, first: int, count: int) -> NDArray[np.int32]:
    """Events of the ``count`` requests of ``kind`` from number ``first`` on."""
    if not kind.batch:
        return np.ones(count, dtype=np.int32)
    if not count:
        return np.empty(0, dtype=np.int32)
    low, high = spec.traffic.batch_min_events, spec.traffic.batch_max_events
    block, offset = divmod(first, _SIZES_BLOCK)
    quantiles: list[NDArray[np.float64]] = []
    while len(quantiles) * _SIZES_BLOCK < offset + count:
        random = np.random.default_rng([spec.seed, _SIZES, kind.number, block + len(quantiles)])
        quantiles.append((random.permutation(_SIZES_BLOCK) + random.random(_SIZES_BLOCK)) / _SIZES_BLOCK)
    sizes = low * ((high + 1) / low) ** np.concatenate(quantiles)[offset : offset + count]
    return np.clip(sizes, low, high).astype(np.int32)


def _merged(parts: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]], sequence: int) -> Chunk:
    """Bring the requests of all kinds into the order of their moments and number their events from ``sequence``."""
    due_ns = np.concatenate([part[0] for part in parts])
    order = np.argsort(due_ns, kind="stable")
    events = np.concatenate([part[1] for part in parts])[order]
    ends = np.cumsum(events, dtype=np.uint64)
    first = ends - events.astype(np.uint64) + np.uint64(sequence)
    return Chunk(due_ns[order], first, events, np.concatenate([part[2] for part in parts])[order])


def _replay_quota(spec: LoadSpec, index: int, count: int) -> int | None:
    """How many lines of the file are this process's in one pass; None where the duration is the end."""
    if spec.scenario != "replay" or spec.duration_s or not spec.replay_events:
        return None
    return (spec.replay_events - index + count - 1) // count


def _cut(chunk: Chunk, events: int) -> Chunk:
    """The chunk's first ``events`` events; a request that goes beyond is shortened."""
    ends = np.cumsum(chunk.events)
    keep = int(np.searchsorted(ends, events)) + 1
    kept = Chunk(chunk.intended_ns[:keep], chunk.first[:keep], chunk.events[:keep].copy(), chunk.batch[:keep])
    excess = int(kept.events.sum()) - events
    if excess > 0:
        kept.events[-1] -= excess
    return kept
