"""What must be stored: the document that each event has to become, as fields and as the bytes that the store has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evidence import sightings
from bench.evidence.offered import Offered
from bench.evidence.stored import Templates
from traffic import identity
from traffic.content import Content, EventTable
from traffic.spec import LoadSpec, Traffic

_TEMPLATES_KEPT = 4
_KEPT_UP_TO_BYTES = 1 << 25


def expected_document(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that ``event`` must become, its fields as :meth:`StoredDocuments.fields` has them.

    Written apart from the worker's mapping, to judge it.
    """
    props = dict(event["props"])
    if "ref" in props and "referrer" not in props:
        props["referrer"] = props.pop("ref")
    sent_at = datetime.fromisoformat(event["timestamp"])
    identifier = event["event_id"].replace("-", "")
    seconds = (int(identifier[:12], 16) // 1000) % 2**32
    return {
        "_id": seconds.to_bytes(4, "big").hex() + identifier[16:].lower(),
        "event_type": event["event"],
        "user_id": event["user_id"],
        "props": props,
        "timestamp": round(sent_at.timestamp() * 1000),
    }


class Expected:
    """What each event of a repeat must become, by the event's index (see :class:`bench.evidence.offered.Offered`)."""

    def __init__(self, offered: Offered, spec: LoadSpec, templates: Callable[[EventTable], Templates]) -> None:
        """Make all of it anew from the seed; the generator said only when each request was due.

        ``templates``: a store's, a plain function.
        """
        self._offered = offered
        self._content = Content(spec.traffic, spec.seed, spec.run)
        self._of_witness = sightings.content_of(spec)
        self._run = spec.run
        self._unix_ms = (offered.rows["intended"] + offered.epoch_unix_ns) // 1_000_000
        table_bytes = spec.traffic.table_events * spec.traffic.payload_bytes
        small = table_bytes <= _KEPT_UP_TO_BYTES
        self._templates = (
            _kept_templates(templates, spec.traffic, spec.seed) if small else templates(self._content.table)
        )

    def has_encoded(self, indexes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for which of these events :meth:`encoded` can be asked, which has what is in the load's table in memory.

        It cannot for the witness's few, which come from another one: :meth:`event` alone says what they are.
        """
        streams = self._offered.rows["stream"][self._offered.row_of_event[indexes]]
        return np.asarray(streams != identity.WITNESS_STREAM)

    def event(self, index: int) -> dict[str, Any]:
        """Return the event as it was sent."""
        row = int(self._offered.row_of_event[index])
        stream = int(self._offered.rows["stream"][row])
        sequence = index - int(self._offered.stream_base[stream])
        content = self._of_witness if stream == identity.WITNESS_STREAM else self._content
        return content.event(stream, sequence, int(self._unix_ms[row]))

    def encoded(self, indexes: NDArray[np.int64]) -> tuple[bytearray, NDArray[np.int64]]:
        """Return the documents of these events as the store has them, one behind the other, and their lengths in bytes.

        In them the elements have the order in which a worker writes them, and numbers their usual types: a
        document that is not the same byte by byte may still say the same.
        """
        rows = self._offered.row_of_event[indexes]
        streams = self._offered.rows["stream"][rows].astype(np.int64)
        sequences = indexes - self._offered.stream_base[streams]
        packed = identity.pack(self._run, 0, 0) | streams << identity.SEQUENCE_BITS | sequences
        return self._templates.filled(self._content.places(streams, sequences), packed, self._unix_ms[rows])


@lru_cache(_TEMPLATES_KEPT)
def _kept_templates(make: Callable[[EventTable], Templates], traffic: Traffic, seed: int) -> Templates:
    return make(Content(traffic, seed, 0).table)
