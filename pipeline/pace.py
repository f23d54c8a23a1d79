"""The pace of a role under load: how long it lets events gather before it takes the next ones.

A round of the API to Kafka costs the parts together about 2 ms of CPU, and a worker's cycle of fetch, write and commit
several, whether it brings one event or a thousand. At rest that does not matter, and an event that waited would
wait for nothing. Under load it is what decides how much a machine holds: the faster events come, the longer they
are let gather.
"""

from __future__ import annotations

import math

_FULL_RATE_PER_S = 8_000.0  # from here on events are let gather for the longest time; below, for its square's share
_SHORTEST_S = 0.002  # what is shorter is not worth it
_MEMORY_S = 0.2  # over which the rate is taken


class Pace:
    """Follows the rate at which events come, each time that some are taken."""

    def __init__(self, longest_s: float, full_events: int) -> None:
        """``longest_s`` is the most to gather; who takes ``full_events`` at once may have left some behind."""
        self._longest_s = longest_s
        self._full_events = full_events
        self._rate_per_s = 0.0
        self._taken_s = -math.inf
        self._was_full = False

    def after(self, events: int, now_s: float) -> float:
        """Return how many seconds from ``now_s`` on to let events gather, when so many were just taken; 0 for none.

        Where there is a backlog, nothing has to gather; who found nothing has waited already.
        """
        passed_s = now_s - self._taken_s
        self._taken_s = now_s
        if passed_s > 0:
            # The mean over the past, weighted by an exponential, of a rate that is constant between two times.
            self._rate_per_s += (events / passed_s - self._rate_per_s) * -math.expm1(-passed_s / _MEMORY_S)
        full = events >= self._full_events
        backlog, self._was_full = full or self._was_full, full
        gather_s = self._longest_s * min(1.0, self._rate_per_s / _FULL_RATE_PER_S) ** 2
        return 0.0 if backlog or not events or gather_s < _SHORTEST_S else gather_s
