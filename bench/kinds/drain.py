"""A drain: how fast the consumers empty a backlog that was there before them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, structs

from bench.cells.axes import EVERYWHERE
from bench.cells.cellspec import CellSpec, EventMix
from bench.cells.objective import OfferedLoad
from bench.kinds.kind import Kind, Size
from bench.kinds.offer import Offer, SoFar
from bundle.capacity import CapacityAnswer
from bundle.result import Result, Window

if TYPE_CHECKING:  # it loads numpy, Arrow and client libraries, and `plan` needs none of them
    from bench.evidence.evidence import Evidence

# What a drain preloads at first: on two cores its window then lasts 5 s or more.
DEFAULT_EVENTS = 300_000
BATCHES_PER_CONSUMER = 5  # a drain with fewer has no stretch between its ramp-up and its end that could be measured
WARMUP_BATCHES = 2  # a consumer has warmed up once it has settled this many batches
DRAINED_SHARE = 0.9
EVEN_MIX: EventMix = (("page_view", 1.0), ("signup", 1.0), ("add_to_cart", 1.0))

MOST_BACKLOG_EVENTS = 100_000_000
_BACKLOG_STEP_EVENTS = 10_000
_WINDOW_MARGIN = 1.2  # of the shortest window: some repeats are faster
_LARGEST_GROWTH = 20.0  # of a backlog, from one attempt to the next: a window that is far too short says little

# What a repeat takes before anything is known: topics, processes and group, and by event what is written, drained and
# audited.
_BASE_S = 2.0
_S_PER_EVENT = 30e-6


class DrainCell(CellSpec, frozen=True):
    """A drain; ``events``: how many are preloaded."""

    kind: str = "drain"
    events: int = DEFAULT_EVENTS


class Drain(Kind[DrainCell]):
    """A backlog preloaded evenly over the topics, the API idle."""

    name = "drain"
    rank = 1
    cell = DrainCell
    axes = EVERYWHERE
    sizes: Mapping[str, Size] = {
        "events": Size(Annotated[int, Meta(ge=1_000, le=MOST_BACKLOG_EVENTS)], "a whole number, 1000 to 100000000")
    }
    event_mix = EVEN_MIX
    mix_words = "all topics alike"
    through_http = False
    sets_loads = True
    rests_on_stamps = True

    def problems(self, cell: DrainCell) -> Iterator[tuple[str, str]]:
        """Refuse a backlog that is gone before it can be measured."""
        needed = BATCHES_PER_CONSUMER * cell.batch_max_events * cell.consumers
        if cell.events < needed:
            text = f"events = {cell.events} is too few for {cell.id}: at least {needed}"
            yield "events", f"{text}, {BATCHES_PER_CONSUMER} batches for each consumer"

    def loads(self, cell: DrainCell) -> Mapping[str, float | OfferedLoad | None]:  # noqa: ARG002 - nothing is offered
        """Return no load: a drain has a backlog."""
        return {}

    def is_open(self, cell: DrainCell) -> bool:  # noqa: ARG002 - of every drain
        """Say that the backlog follows from the run."""
        return True

    def with_load(self, cell: DrainCell, load: float) -> DrainCell:
        """Return the cell with as many events as it had in another run."""
        return structs.replace(cell, events=int(load))

    def load_of(self, results: Sequence[Result], answer: CapacityAnswer | None) -> float | None:  # noqa: ARG002 - no search
        """Return how many events the cell had in another run."""
        return max((float(each.audit.offered) for each in results), default=None)

    def estimate_s(self, cell: DrainCell) -> float:
        """Return what a repeat may take, in seconds."""
        return _BASE_S + _S_PER_EVENT * cell.events

    def size_words(self, cell: DrainCell) -> str:
        """Say how many events there are."""
        return f"{cell.events:,} events"

    def load_s(self, cell: DrainCell) -> float:  # noqa: ARG002 - nothing is offered
        """Return that no load lasts."""
        return 0.0

    def preloaded_events(self, cell: DrainCell) -> int:
        """Return how many events are in Kafka before anybody reads."""
        return cell.events

    def with_offer(self, cell: DrainCell, offer: Offer) -> DrainCell:
        """Return the cell with the backlog that its repeat gets."""
        return structs.replace(cell, events=offer.backlog_events) if offer.backlog_events else cell

    def offer(self, cell: DrainCell, so_far: Sequence[SoFar]) -> Offer:
        """Return the backlog: at least the events of the cell, and as many as its window needs.

        The number follows from what this machine's MongoDB takes, where the ceilings are known, from the windows of
        round 1 and from those that were too short. It is the same for all drains, so that their cells can be compared.
        """
        needed = [float(cell.events)]
        for run in so_far:
            least_s = run.bounds.drain_window_s
            if run.inserts_per_s is not None:
                needed.append(run.inserts_per_s * least_s * _WINDOW_MARGIN)
            for each in run.drained:
                length_s = each.window.length_s if each.window else 0.0
                if length_s > 0 and (each.round == 1 or length_s < least_s):
                    needed.append(each.audit.offered * min(_WINDOW_MARGIN * least_s / length_s, _LARGEST_GROWTH))
        if len(needed) == 1:
            return Offer(backlog_events=cell.events)
        events = math.ceil(max(needed) / _BACKLOG_STEP_EVENTS) * _BACKLOG_STEP_EVENTS
        return Offer(backlog_events=max(cell.events, min(MOST_BACKLOG_EVENTS, events)))

    def window(self, cell: DrainCell, evidence: Evidence) -> Window:  # noqa: ARG002 - the acknowledgements say it
        """Return the window by the acknowledgements.

        It begins with the first one after every consumer with work has settled its warm-up batches, and ends when the
        first of them runs dry or 90% are stored.
        """
        return evidence.emptying(WARMUP_BATCHES, DRAINED_SHARE)


KIND = Drain()
