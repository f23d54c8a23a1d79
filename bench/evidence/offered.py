"""What was offered: the ledgers of one repeat as one table of requests and one index of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.errors import BundleError
from traffic import identity
from traffic.ledger import Ledger, read

ROW = np.dtype(
    [
        ("stream", "<u2"),
        ("first", "<u8"),
        ("count", "<u4"),
        ("intended", "<i8"),
        ("sent", "<i8"),
        ("answered", "<i8"),
        ("outcome", "u1"),
    ]
)
_VARIANT = np.uint64(0b10)
_PACKED_END = 1 << 62


@dataclass(frozen=True)
class Offered:
    """Every event that a repeat offered.

    ``rows``: structured array of ``ROW``, ordered by stream and first sequence number, times in
    ns relative to the epoch, -1 where there is none. An event's *index* is its place when all
    rows are laid end to end; it is what ledger, deliveries and documents are joined by. The witness's
    stream, where there is one, comes last.
    """

    run: int
    epoch_monotonic_ns: int
    epoch_unix_ns: int
    rows: NDArray[np.void]
    streams: tuple[int, ...]
    stream_base: NDArray[np.int64]  # shape (2**12,): index of the stream's event 0, -1 if unknown
    stream_count: NDArray[np.int64]  # shape (2**12,): events of the stream
    row_of_event: NDArray[np.int32]  # shape (events,)
    complete: bool  # every ledger has its tail
    stopped_ns: tuple[int | None, ...] = ()  # of each stream, when its load was stopped; None: it came to its end

    @property
    def events(self) -> int:
        """How many events were offered."""
        return len(self.row_of_event)

    def of_load(self) -> Offered:
        """Return what the generator offered, without the witness: its events have no index there."""
        witness = identity.WITNESS_STREAM
        if witness not in self.streams:
            return self
        base, count = self.stream_base.copy(), self.stream_count.copy()
        base[witness], count[witness] = -1, 0
        return replace(
            self,
            rows=self.rows[self.rows["stream"] != witness],
            streams=self.streams[:-1],
            stream_base=base,
            stream_count=count,
            row_of_event=self.row_of_event[: self.stream_base[witness]],
            stopped_ns=self.stopped_ns[:-1],
        )

    def per_event(self, field: str) -> NDArray[np.generic]:
        """Return a column of ``rows`` for every event, shape (events,)."""
        column: NDArray[np.generic] = self.rows[field][self.row_of_event]
        return column

    def index_of(self, id_low: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the event index of each id (its low 64 bits), -1 for an id that is not of this repeat."""
        run = (id_low >> np.uint64(48)) & np.uint64(0x3FFF)
        stream = ((id_low >> np.uint64(36)) & np.uint64(0xFFF)).astype(np.int64)
        sequence = (id_low & np.uint64((1 << 36) - 1)).astype(np.int64)
        ours = ((id_low >> np.uint64(62)) == _VARIANT) & (run == np.uint64(self.run))
        ours &= sequence < self.stream_count[stream]
        return np.where(ours, self.stream_base[stream] + sequence, -1)


def id_low_of_props(props: object) -> int:
    """Read the packed identity that an event carries in its ``props``; 0, which is no event's, if it carries none."""
    packed = props.get("tidemark") if isinstance(props, dict) else None
    return identity.id_low(packed) if isinstance(packed, int) and 0 <= packed < _PACKED_END else 0


def load(directory: Path) -> Offered:
    """Read every ``ledger-*.log`` of ``directory``.

    Raises:
        BundleError: there is no ledger, a ledger has gaps, or they do not belong together.
        CorruptLogError: a block in the middle of one is damaged.
    """
    ledgers = sorted(map(read, directory.glob("ledger-*.log")), key=lambda ledger: ledger.head.index)
    of_load = [ledger for ledger in ledgers if ledger.head.index != identity.WITNESS_STREAM]
    if not of_load:
        raise BundleError(f"{directory} holds no ledger: the generator ended before it wrote one, see its log")
    head = of_load[0].head
    base = np.full(1 << identity.STREAM_BITS, -1, dtype=np.int64)
    count = np.zeros(1 << identity.STREAM_BITS, dtype=np.int64)
    tables = []
    start = 0
    for ledger in ledgers:
        if (ledger.head.spec, ledger.head.epoch_monotonic_ns) != (head.spec, head.epoch_monotonic_ns):
            raise BundleError(f"the ledgers in {directory} are of different loads: give each repeat its own folder")
        table = _table(ledger, ledger.head.index)
        events = int(table["count"].sum())
        base[ledger.head.index], count[ledger.head.index] = start, events
        start += events
        tables.append(table)
    rows = np.concatenate(tables)
    return Offered(
        run=head.spec.run,
        epoch_monotonic_ns=head.epoch_monotonic_ns,
        epoch_unix_ns=head.epoch_unix_ns,
        rows=rows,
        streams=tuple(ledger.head.index for ledger in ledgers),
        stream_base=base,
        stream_count=count,
        row_of_event=np.repeat(np.arange(len(rows), dtype=np.int32), rows["count"]),
        complete=all(_is_complete(ledger) for ledger in ledgers) and len(of_load) == head.count,
        stopped_ns=tuple(ledger.tail.stopped_ns if ledger.tail else None for ledger in ledgers),
    )


def _is_complete(ledger: Ledger) -> bool:
    return ledger.tail is not None and ledger.tail.records == len(ledger.records)


def _table(ledger: Ledger, stream: int) -> NDArray[np.void]:
    records = np.sort(ledger.records, order="first")
    table = np.zeros(len(records), dtype=ROW)
    table["stream"] = stream
    table["first"], table["count"] = records["first"], records["count"]
    table["intended"], table["sent"], table["answered"] = (
        records["intended_ns"],
        records["sent_ns"],
        records["answered_ns"],
    )
    table["outcome"] = records["outcome"]
    ends = np.cumsum(table["count"], dtype=np.int64)
    starts = ends - table["count"]
    gaps = np.flatnonzero(table["first"].astype(np.int64) != starts)
    if len(gaps):
        at = int(table["first"][gaps[0]])
        raise BundleError(
            f"the ledger of stream {stream} misses or repeats events at sequence {at} (expected {int(starts[gaps[0]])})"
        )
    return table
