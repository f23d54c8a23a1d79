"""The events of a batch, one by one and unread, so that one bad event does not spoil the others."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from pipeline.ingest.answers import RefusedError

_ABSENT = Raw(b"")


class BatchReader:
    """Splits the body of a batch into its events, never making more of them than are allowed.

    A body of 4 MiB may hold a million elements. A Struct that is written as an array decodes as
    many elements as it has fields, and skips the rest without making anything of them.
    """

    def __init__(self, max_events: int) -> None:
        """``max_events``: of one batch."""
        self._max_events = max_events
        fields = [(f"event_{place}", Raw, _ABSENT) for place in range(max_events + 1)]
        array = msgspec.defstruct("Batch", fields, array_like=True, gc=False)
        envelope: Any = msgspec.defstruct("Envelope", [("events", array)], forbid_unknown_fields=True, gc=False)
        self._decode_array = msgspec.json.Decoder(array).decode
        self._decode_envelope = msgspec.json.Decoder(envelope).decode

    def split(self, body: bytes) -> list[Raw]:
        """Give the events of ``body``: of ``{"events": [...]}``, or of the array alone.

        Raises:
            RefusedError: 400 where this is no batch, 413 where it has too many events.
        """
        try:
            alone = body[:64].lstrip()[:1] == b"["
            array = self._decode_array(body) if alone else self._decode_envelope(body).events
        except msgspec.ValidationError as error:
            message = f'a batch is {{"events": [...]}} or an array of events: {error}'
            raise RefusedError(400, "invalid_batch", message) from error
        except RecursionError as error:
            raise RefusedError(400, "invalid_batch", "the batch is nested too deeply") from error
        except ValueError as error:
            raise RefusedError(400, "invalid_json", f"this is not JSON: {error}") from error
        events = [each for each in astuple(array) if each is not _ABSENT]
        if not events:
            raise RefusedError(400, "invalid_batch", "the batch is empty: send at least one event")
        if len(events) > self._max_events:
            raise RefusedError(413, "too_many_events", f"more than {self._max_events} events: send several batches")
        return events
