"""What a stall must do to the delivery latencies of a smooth load, computed without what the harness measured.

A part stands still from ``start`` to ``end``, S seconds. The events that need it wait behind one another: an event is
stored when as many events are stored as were offered up to it. So with A(k) the moment at which the k-th event is due
(by the schedule) and D(k) the moment at which MongoDB itself counts k documents (asked about a hundred times a
second), the k-th event waits

    W(k) = D(k) - A(k)

and the number of events that wait longer than L is the number of k with W(k) > L. Neither the ledger, nor a
deliveries log, nor the identity of any event takes part in it.

For a load of constant rate lambda, and a system that goes on at rate mu, this is the fluid queue: an event due t after
the stall's start waits S - t (1 - rho), rho = lambda / mu, so that

    lambda (S - L) / (1 - rho) = lambda (S - L) + lambda (S - L) rho / (1 - rho)

events wait longer than L: what was offered in the first S - L seconds, and what the catch-up adds, in which the backlog
of lambda S events is worked off; it takes C = S rho / (1 - rho). The curves also know of what the formula leaves out:
that events are stored a batch at a time, that a part takes a moment to go on, and the time that an event takes anyway.

Events may overtake one another: an API that goes on takes requests from connections that it knows before those of
connections that it has yet to accept, which were opened meanwhile. If what comes after the stall goes first, always,
then only mu - lambda is left for what waits, and rho / (1 - rho) stands for rho above: (1 - rho) / (1 - 2 rho) in place
of 1 / (1 - rho). For the curves that is D(k) of the documents counted less those that came due since the stall's end
and had their usual time. What was measured lies between the two.

The longest wait is that of an event that met the stall at its start: S, less the distance between two requests, as no
event need be there at the very start. At most it is S + C and the longest that an event took before the stall,
once at each end: so long before the start it may have been due, and so much later than the backlog was gone it may
have been stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NS = 1_000_000_000


@dataclass(frozen=True)
class Stall:
    """Seconds from the epoch at which a part was stopped and went on, as measured."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """S."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class DocumentCounts:
    """How many documents MongoDB counted: ``at_s`` (from the epoch, ascending) and ``documents``, of shape (polls,)."""

    at_s: NDArray[np.float64]
    documents: NDArray[np.int64]


@dataclass(frozen=True)
class ExpectedDelays:
    """How many events wait longer than the limit: ``late_low`` if none overtakes, ``late_high`` if later ones go first.

    ``catch_up_s``: C; ``offered_per_s``: lambda; ``stored_per_s``: mu.
    """

    late_low: int
    late_high: int
    catch_up_s: float
    offered_per_s: float
    stored_per_s: float


def stored_at(counted: DocumentCounts, events: int) -> NDArray[np.float64]:
    """Return D: when the 1st, 2nd, ... event was there, linear between two polls; infinity if it never was."""
    documents = np.maximum.accumulate(counted.documents)
    number = np.arange(1, events + 1)
    at = np.searchsorted(documents, number, side="left")
    moments = np.full(events, np.inf)
    moments[at == 0] = counted.at_s[0]
    there = (at < len(documents)) & (at > 0)
    high = at[there]
    low = high - 1
    share = (number[there] - documents[low]) / (documents[high] - documents[low])
    moments[there] = counted.at_s[low] + share * (counted.at_s[high] - counted.at_s[low])
    return moments


def expected(
    stall: Stall, due_s: NDArray[np.float64], counted: DocumentCounts, window_s: tuple[float, float], limit_s: float
) -> ExpectedDelays:
    """Compute what follows from the stall for the events due in ``window_s`` [from, to).

    ``due_s``: A, of all events ever offered, ascending, seconds from the epoch.
    """
    before = int(np.searchsorted(due_s, stall.end_s))  # this many events were due until the stall was over
    waits_s = stored_at(counted, len(due_s)) - due_s
    usual_s = float(np.median(waits_s[due_s < stall.start_s - stall.length_s]))
    newer = np.maximum(np.searchsorted(due_s, counted.at_s - usual_s) - before, 0)
    older_waits_s = waits_s.copy()
    older_waits_s[:before] = stored_at(DocumentCounts(counted.at_s, counted.documents - newer), before) - due_s[:before]
    inside = (due_s >= window_s[0]) & (due_s < window_s[1])
    caught_up_s = _caught_up_s(stall, due_s, counted)
    during = (counted.at_s >= stall.end_s) & (counted.at_s <= caught_up_s)
    stored = int(np.ptp(counted.documents[during])) if during.any() else 0
    catch_up_s = caught_up_s - stall.end_s
    return ExpectedDelays(
        late_low=int((waits_s[inside] > limit_s).sum()),
        late_high=int((older_waits_s[inside] > limit_s).sum()),
        catch_up_s=catch_up_s,
        offered_per_s=float(inside.sum()) / (window_s[1] - window_s[0]),
        stored_per_s=stored / catch_up_s if 0 < catch_up_s < np.inf else 0.0,
    )


def _caught_up_s(stall: Stall, due_s: NDArray[np.float64], counted: DocumentCounts) -> float:
    """When the backlog was no larger than it had been at any time in the stall's length before it; infinity: never."""
    backlog = np.searchsorted(due_s, counted.at_s, side="right") - counted.documents
    before = (counted.at_s >= stall.start_s - stall.length_s) & (counted.at_s < stall.start_s)
    after = np.flatnonzero((counted.at_s > stall.end_s) & (backlog <= backlog[before].max(initial=0)))
    return float(counted.at_s[after[0]]) if len(after) else np.inf
