"""Where the curve of delivery latency against load bends."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

FEWEST_LOADS = 5
LEAST_RISE = 2.0  # of delivery latency, from the lowest to the highest load
LEAST_BEND = 0.2  # of the square that holds the curve; a straight line has 0, a right angle 1


class KneePoint(Struct, frozen=True):
    """One probe: what was offered, and the delivery latency of its events, None where there are too few."""

    load_events_per_s: float
    delivery_latency_p99_ms: float | None


def knee(points: Iterable[KneePoint]) -> float | None:
    """Return the load (events/s) where delivery latency p99 begins to rise faster than load, or None if none is sound.

    That is the point farthest below the chord of the curve on logarithmic axes, both scaled to 0..1 (Satopaa et al.,
    "Finding a Kneedle in a Haystack", 2011). Probes of one load count as one, with the median of theirs. None where
    there are fewer than five loads, where delivery latency does not double, where the curve hardly bends, or where its
    farthest point is not inside.
    """
    found: dict[float, list[float]] = {}
    for point in points:
        if point.delivery_latency_p99_ms and point.delivery_latency_p99_ms > 0:
            found.setdefault(point.load_events_per_s, []).append(point.delivery_latency_p99_ms)
    if len(found) < FEWEST_LOADS:
        return None
    loads = sorted(found)
    x = np.log(loads)
    y = np.log([float(np.median(found[load])) for load in loads])
    if y[-1] - y[0] < np.log(LEAST_RISE):
        return None
    bend = (x - x[0]) / (x[-1] - x[0]) - (y - y[0]) / (y[-1] - y[0])
    at = int(bend.argmax())
    return loads[at] if bend[at] >= LEAST_BEND and 0 < at < len(loads) - 1 else None
