"""What is stored: every document of a repeat's collection, counted and compared with what was sent.

Which event a document stands for is read from ``props.tidemark``, never from ``_id``: so the audit
sees two documents for one event, and a worker that makes ``_id`` from something else.

Documents are read as the store has them. What has the usual layout is counted many at a time, and what is the same
byte by byte as it has to be needs no second look; all else is decoded, and compared field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evidence.expected import Expected, expected_document
from bench.evidence.offered import Offered, id_low_of_props
from bench.evidence.stored import RawDocuments, StoredDocuments

_MAX_EXAMPLES = 5
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2 to the power of 64 divided by the golden ratio: spreads neighbours


class _Absent:
    """Stands for a field that is not there: null would be a value."""

    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


@dataclass(frozen=True)
class Documents:
    """``count_per_event``: documents found for each event, shape (events,); the rest are totals.

    ``foreign``: documents that stand for no event of the run. ``strangers``: the ``_id`` of a few of them.
    ``differences``: a few of those that differ, in words.
    """

    count_per_event: NDArray[np.int64]
    total: int
    foreign: int
    compared: int
    differing: int
    differences: tuple[str, ...]
    strangers: tuple[str, ...] = ()


def none(offered: Offered) -> Documents:
    """Return those of a system that reports none."""
    return Documents(np.zeros(offered.events, dtype=np.int64), 0, 0, 0, 0, ())


def scan(stored: StoredDocuments, offered: Offered, expected: Expected, compare_share: float) -> Documents:
    """Read the whole collection and compare the documents of ``compare_share`` (0 to 1) of the events.

    Raises:
        PyMongoError: MongoDB, if it is that, is away or did not answer in time.
    """
    tally = _Tally(stored, offered, expected, compare_share)
    for batch in stored.batches():
        tally.take(batch)
    return tally.documents()


class _Tally:
    """Counts and compares, batch by batch."""

    def __init__(self, stored: StoredDocuments, offered: Offered, expected: Expected, compare_share: float) -> None:
        self._stored = stored
        self._offered = offered
        self._expected = expected
        self._compare_below = np.float64(compare_share) * 2.0**64
        self._all = compare_share >= 1
        self._indexes: list[NDArray[np.int64]] = []
        self._compared = 0
        self._differing = 0
        self._differences: list[str] = []
        self._strangers: list[str] = []

    def take(self, batch: RawDocuments) -> None:
        """Take the next documents."""
        id_low, read = self._stored.identities(batch)
        for at in np.flatnonzero(~read).tolist():
            id_low[at] = id_low_of_props(self._fields(batch, at).get("props"))
        index = self._offered.index_of(id_low)
        self._indexes.append(index)
        unknown = np.flatnonzero(index < 0)[: _MAX_EXAMPLES - len(self._strangers)]
        self._strangers += [str(self._fields(batch, at).get("_id")) for at in unknown.tolist()]
        chosen = np.flatnonzero((index >= 0) & self._to_compare(id_low))
        self._compared += len(chosen)
        for at in self._unlike(batch, chosen, index).tolist():
            document = self._fields(batch, at)
            difference = _difference(document, self._expected.event(int(index[at])))
            if difference:
                self._differing += 1
                if len(self._differences) < _MAX_EXAMPLES:
                    self._differences.append(f"document {document['_id']}: {difference}")

    def documents(self) -> Documents:
        """Return what was found."""
        index = np.concatenate(self._indexes) if self._indexes else np.zeros(0, dtype=np.int64)
        return Documents(
            count_per_event=np.bincount(index[index >= 0], minlength=self._offered.events).astype(np.int64),
            total=len(index),
            foreign=int(np.count_nonzero(index < 0)),
            compared=self._compared,
            differing=self._differing,
            differences=tuple(self._differences),
            strangers=tuple(self._strangers),
        )

    def _fields(self, batch: RawDocuments, at: int) -> dict[str, Any]:
        return self._stored.fields(batch.document(at))

    def _to_compare(self, id_low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say which events are of the sample: it depends on who they are, and on nothing else."""
        if self._all:
            return np.ones(len(id_low), dtype=bool)
        return (id_low * _GOLDEN).astype(np.float64) < self._compare_below

    def _unlike(self, batch: RawDocuments, chosen: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of ``chosen`` that are not byte by byte what they have to be."""
        known = self._expected.has_encoded(index[chosen])
        if not known.all():
            others = self._unlike(batch, chosen[known], index)
            return np.sort(np.concatenate([chosen[~known], others]))
        if not len(chosen):
            return chosen
        expected, lengths = self._expected.encoded(index[chosen])
        same_length = lengths == np.diff(batch.starts)[chosen]
        if not same_length.all():
            others = self._unlike(batch, chosen[same_length], index)
            return np.sort(np.concatenate([chosen[~same_length], others]))
        found = batch.documents
        if len(chosen) < len(index):
            found = b"".join([found[batch.starts[at] : batch.starts[at + 1]] for at in chosen.tolist()])
        differs = np.frombuffer(found, dtype=np.uint8) != np.frombuffer(expected, dtype=np.uint8)
        if not differs.any():
            return chosen[:0]
        return chosen[np.logical_or.reduceat(differs, np.cumsum(lengths) - lengths)]


def _difference(document: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """Say how ``document`` differs from what ``event`` must become, None if it does not."""
    expected = expected_document(event)
    if document == expected:
        return None
    differences = []
    for name in {**expected, **document}:
        stored, sent = document.get(name, _ABSENT), expected.get(name, _ABSENT)
        if stored != sent:
            differences.append(f"{name} is {stored!r}, sent was {sent!r}")
    return "; ".join(differences)[:500]
