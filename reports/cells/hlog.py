"""Reads HdrHistogram interval logs, with their tags; what lines of one tag hold is added.

A line is ``Tag=NAME,start_s,interval_s,max,PAYLOAD``; the payload is a histogram of whole
microseconds in HdrHistogram's compressed V2 encoding: base64 of a zlib stream, in it a header and the counts as
ZigZag LEB128 numbers, a negative one a run of zeros. Lines with ``#`` and the legend are skipped, except the last:
``#[End: N intervals]`` distinguishes a whole log from one that was cut off between two lines.

A run has tens of thousands of such lines, and the library takes half a millisecond for each: here the numbers of
all lines of a log are decoded together by numpy.
"""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.errors import BundleError
from stats import histograms
from stats.histograms import Distribution

_FIELDS_AFTER_TAG = 4
_END = re.compile(r"#\[End: (\d+) intervals\]")
_US_PER_MS = 1000.0
_COMPRESSED_COOKIE, _COOKIE, _WORD_SIZE = 0x1C849304, 0x1C849303, 0xF0
_OUTER = struct.Struct(">II")
_HEADER = struct.Struct(">IIIIQQd")
_MOST_BYTES = 8 * 2**20
_MOST_NUMBER_BYTES = 8
"""Of 9 bytes would be a count beyond 2**56."""
_MOST_DIGITS = 5
_MOST_PLACES = 2**24


@dataclass(frozen=True)
class _Payload:
    """One line's histogram, not yet counted: its shape, and its counts as encoded."""

    tag: str
    lowest: int
    highest: int
    digits: int
    encoded: bytes


def read(path: Path, tags: Container[str] | None = None) -> dict[str, Distribution]:
    """Return what the log at ``path`` holds of each tag (of ``tags`` if given), all its intervals added.

    BundleError if a line of them is damaged, or the log's end is missing.
    """
    payloads = []
    intervals = 0
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.startswith("Tag="):
            continue
        intervals += 1
        tag, *fields = line.removeprefix("Tag=").split(",")
        if len(fields) != _FIELDS_AFTER_TAG:
            raise BundleError(
                f"{path}, line {number}: {len(fields)} fields after the tag, {_FIELDS_AFTER_TAG} expected"
            )
        if tags is not None and tag not in tags:
            continue
        try:
            payloads.append(_unpack(tag, fields[-1]))
        except (ValueError, struct.error, zlib.error) as error:  # binascii's error is a ValueError
            raise BundleError(f"{path}, line {number}: no HdrHistogram in it ({error})") from error
    counted = sum(int(end[1]) for line in lines if (end := _END.fullmatch(line)))
    if not lines or not _END.fullmatch(lines[-1]) or counted != intervals:
        raise BundleError(f"{path} is cut off: it holds {intervals} intervals, and no end that says so")
    try:
        return _by_tag(payloads)
    except ValueError as error:
        raise BundleError(f"{path}: no HdrHistogram in one of its lines ({error})") from error


def _unpack(tag: str, payload: str) -> _Payload:
    packed = binascii.a2b_base64(payload, strict_mode=True)
    cookie, length = _OUTER.unpack_from(packed)
    if cookie & ~_WORD_SIZE != _COMPRESSED_COOKIE or length != len(packed) - _OUTER.size:
        raise ValueError("it is not in the compressed V2 encoding")
    stream = zlib.decompressobj()
    content = stream.decompress(packed[_OUTER.size :], _MOST_BYTES)
    if not stream.eof:
        raise ValueError(f"it ends too early, or holds more than {_MOST_BYTES} bytes")
    cookie, length, offset, digits, lowest, highest, _ = _HEADER.unpack_from(content)
    encoded = content[_HEADER.size :]
    if cookie & ~_WORD_SIZE != _COOKIE or length != len(encoded) or offset or not 0 <= digits <= _MOST_DIGITS:
        raise ValueError("its header is not that of a V2 histogram")
    if encoded and encoded[-1] & 0x80:
        raise ValueError("its last number is cut off")
    return _Payload(tag, max(lowest, 1), highest, digits, encoded)


def _by_tag(payloads: Sequence[_Payload]) -> dict[str, Distribution]:
    """Count all payloads of the same tag and shape together, then add the shapes up."""
    groups: dict[tuple[str, int, int], list[bytes]] = {}
    for each in payloads:
        groups.setdefault((each.tag, each.lowest, each.digits), []).append(each.encoded)
    found: dict[str, list[Distribution]] = {}
    for (tag, lowest, digits), encoded in groups.items():
        counts = _counts(encoded)
        recorded = np.flatnonzero(counts)
        values_ms = _highest_equivalent(recorded, lowest, digits) / _US_PER_MS
        found.setdefault(tag, []).append(Distribution(values_ms, counts[recorded]))
    pooled = {tag: histograms.pool(parts) for tag, parts in found.items()}
    return {tag: one for tag, one in pooled.items() if one is not None}


def _counts(encoded: Sequence[bytes]) -> NDArray[np.int64]:
    """Decode the numbers of several histograms at once and add their counts, index by index."""
    lengths = np.array([len(each) for each in encoded])
    numbers, last_byte = _numbers(np.frombuffer(b"".join(encoded), dtype=np.uint8))
    if not len(numbers):
        return np.zeros(0, dtype=np.int64)
    # A count takes one place, a run of zeros as many as it is long.
    places_taken = np.where(numbers < 0, -numbers, 1)
    if places_taken.max() > _MOST_PLACES:
        raise ValueError("a run of zeros longer than a histogram")
    before = np.cumsum(places_taken) - places_taken
    # Each histogram counts its places from 0: what came before its first number is taken off.
    starts = np.searchsorted(last_byte, np.cumsum(lengths) - lengths)
    numbers_of_each = np.diff(starts, append=len(numbers))
    there = numbers_of_each > 0
    places = before - np.repeat(before[starts[there]], numbers_of_each[there])
    counted = numbers > 0
    counts = np.zeros(int(places.max()) + 1, dtype=np.int64)
    np.add.at(counts, places[counted], numbers[counted])
    return counts


def _numbers(given: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decode ZigZag LEB128 numbers; return them, and where the last byte of each stands."""
    last = np.flatnonzero(given < 0x80)  # noqa: PLR2004 - the high bit says that more bytes follow
    size = np.diff(last, prepend=-1)
    if len(size) and size.max() > _MOST_NUMBER_BYTES:
        raise ValueError(f"a number of {size.max()} bytes")
    raw = given[last].astype(np.int64)
    longer = np.flatnonzero(size > 1)
    # Least significant byte first: from the last one back, fewer numbers each time.
    for byte in range(1, _MOST_NUMBER_BYTES):
        if not len(longer):
            break
        raw[longer] = (raw[longer] << 7) | (given[last[longer] - byte] & 0x7F)
        longer = longer[size[longer] > byte + 1]
    half = raw >> 1
    return np.where(raw & 1, -half - 1, half), last


def _highest_equivalent(index: NDArray[np.int64], lowest: int, digits: int) -> NDArray[np.int64]:
    """Return the highest value that counts at ``index``: HdrHistogram's layout of buckets that double in width."""
    unit_bits = lowest.bit_length() - 1
    half_bits = max((2 * 10**digits - 1).bit_length(), 1) - 1
    half_count = 1 << half_bits
    bucket = (index >> half_bits) - 1
    within = (index & (half_count - 1)) + np.where(bucket < 0, 0, half_count)
    shift = np.maximum(bucket, 0) + unit_bits
    highest: NDArray[np.int64] = ((within + 1) << shift) - 1
    return highest
