"""A note that a worker writes beside each committed offset: the topic's id, and which records it could not read.

Kafka keeps a text with every committed offset. Ours is JSON: the id of the topic (a topic that is deleted and created
again has another id) and how many records Kafka deleted before a worker read them.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Note(Struct, frozen=True, omit_defaults=True):
    """The text beside one partition's offset.

    ``topic_id``: hexadecimal, empty where the broker has none. ``skipped``: records deleted unread, in all; the last
    ones had the offsets from ``first`` up to, not including, ``end``, and were missed at ``at_ms`` (Unix).
    """

    topic_id: str = ""
    skipped: int = 0
    first: int = 0
    end: int = 0
    at_ms: int = 0

    def text(self) -> str:
        """Return the note as it is committed."""
        return msgspec.json.encode(self).decode()


_decode = msgspec.json.Decoder(Note).decode


def read_note(text: str | None) -> Note:
    """Read what :meth:`Note.text` made; an empty note if another program committed another text."""
    try:
        return _decode(text or "{}")
    except ValueError:
        return Note()
