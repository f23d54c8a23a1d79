"""Compare an event with the document that is stored under its ``_id``; docs/identifiers.md has the rules."""

from __future__ import annotations

from pipeline.messages.timestamps import record_time
from pipeline.store import Document, is_same


def same_content(stored: bytes, document: Document, record_timestamp_ms: int) -> bool:
    """Whether ``stored``, as the store returns it, has the content of ``document``, which a record brought then.

    A timestamp equal to the record's was filled in by the API or a worker and is not compared.
    """
    filled_in = document["timestamp"] == record_time(record_timestamp_ms)
    return is_same(stored, document, ("timestamp",) if filled_in else ())
