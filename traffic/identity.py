"""Who an event is: run, stream and sequence, packed into the low bits of its UUIDv7.

An event's number in its run is 62 bits: 14 for the run, 12 for the stream (one generator process),
36 for the sequence within the stream, the first the highest. They are the 62 low bits of the event's
UUIDv7, below the two bits of the variant (RFC 9562, section 5.7), and the pipeline's ``_id`` keeps
these 64 bits. So a ledger, a deliveries log and a stored document join by one number.
"""

from typing import NamedTuple

RUN_BITS = 14
STREAM_BITS = 12
SEQUENCE_BITS = 36

MAX_RUN = (1 << RUN_BITS) - 1
MAX_STREAM = (1 << STREAM_BITS) - 1
MAX_SEQUENCE = (1 << SEQUENCE_BITS) - 1
# No generator's: events that bear it are part of the audit, and of no figure of the load.
WITNESS_STREAM = MAX_STREAM

_RUN_SHIFT = STREAM_BITS + SEQUENCE_BITS
_PACKED_BITS = RUN_BITS + _RUN_SHIFT
_VARIANT = 0b10 << _PACKED_BITS
_LOW_48 = (1 << 48) - 1
_RAND_A = (1 << 12) - 1


class Identity(NamedTuple):
    """What :func:`pack` packs."""

    run: int
    stream: int
    sequence: int


def pack(run: int, stream: int, sequence: int) -> int:
    """Return the 62-bit number of an event.

    Raises:
        ValueError: a part is negative or has more bits than it may.
    """
    if not 0 <= run <= MAX_RUN:
        raise ValueError(f"run {run} is not between 0 and {MAX_RUN}: it has {RUN_BITS} bits")
    if not 0 <= stream <= MAX_STREAM:
        raise ValueError(f"stream {stream} is not between 0 and {MAX_STREAM}: it has {STREAM_BITS} bits")
    if not 0 <= sequence <= MAX_SEQUENCE:
        raise ValueError(f"sequence {sequence} is not between 0 and {MAX_SEQUENCE}: it has {SEQUENCE_BITS} bits")
    return run << _RUN_SHIFT | stream << SEQUENCE_BITS | sequence


def unpack(packed: int) -> Identity:
    """Return what was packed; the inverse of :func:`pack`.

    Raises:
        ValueError: ``packed`` is negative or has more than 62 bits.
    """
    if not 0 <= packed < 1 << _PACKED_BITS:
        raise ValueError(f"{packed} is not a packed identity: it has {_PACKED_BITS} bits and no sign")
    return Identity(packed >> _RUN_SHIFT, packed >> SEQUENCE_BITS & MAX_STREAM, packed & MAX_SEQUENCE)


def id_low(packed: int) -> int:
    """Return the low 64 bits of the event's UUID, which are those of the stored ``_id`` too."""
    return _VARIANT | packed


def event_id(unix_ms: int, packed: int) -> str:
    """Return the event's UUIDv7 as text, lower case.

    Its 12 bits of ``rand_a`` are the sequence's lowest, so that the ids of one millisecond sort in order.
    """
    low = _VARIANT | packed
    head = f"{unix_ms & _LOW_48:012x}"
    tail = f"{low:016x}"
    return f"{head[:8]}-{head[8:]}-7{packed & _RAND_A:03x}-{tail[:4]}-{tail[4:]}"
