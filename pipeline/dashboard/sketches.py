"""Counting in bounded memory: distinct users (HyperLogLog), and the most frequent names (Misra-Gries).

Both can be merged, so that minutes make up an hour. The libraries that have them need numpy, which alone would be
larger than all else in the image.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

_HASH_BITS = 64
_MOST_REMEMBERED = 256  # characters


def _hash(text: str) -> int:
    # A long text is not remembered: as many of a megabyte would fill the memory.
    return _hash_of_short(text) if len(text) <= _MOST_REMEMBERED else _digest(text)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


_hash_of_short = lru_cache(maxsize=65_536)(_digest)


class Distinct:
    """How many different texts there were, by HyperLogLog (Flajolet et al., 2007) with 2^precision registers.

    The standard error is 1.04 / sqrt(2^precision): 2.3% with 11, 1.1% with 13. Up to some thousand texts the estimate
    is by linear counting, and better than that.
    """

    __slots__ = ("precision", "registers")

    def __init__(self, precision: int, registers: bytes | bytearray | None = None) -> None:
        """``registers``: as another one of the same precision has them."""
        self.precision = precision
        self.registers = bytearray(1 << precision) if registers is None else bytearray(registers)
        if len(self.registers) != 1 << precision:
            raise ValueError(f"{len(self.registers)} registers are not those of precision {precision}")

    def add_all(self, texts: Iterable[str]) -> None:
        """Note ``texts``."""
        registers, tail_bits = self.registers, _HASH_BITS - self.precision
        mask = (1 << tail_bits) - 1
        for text in texts:
            hashed = _hash(text)
            rank = tail_bits - (hashed & mask).bit_length() + 1
            at = hashed >> tail_bits
            registers[at] = max(registers[at], rank)

    def merge(self, other: Distinct) -> None:
        """Note all that ``other``, of the same precision, has noted."""
        self.registers = bytearray(map(max, self.registers, other.registers))

    def estimate(self) -> int:
        """Return about how many different texts were noted."""
        count = len(self.registers)
        alpha = 0.7213 / (1 + 1.079 / count)
        raw = alpha * count * count / sum(2.0**-each for each in self.registers)
        zeros = self.registers.count(0)
        if raw <= 2.5 * count and zeros:
            raw = count * math.log(count / zeros)
        return round(raw)

    def copy(self) -> Distinct:
        """Return one that may change without this one."""
        return Distinct(self.precision, self.registers)

    def packed(self) -> bytes:
        """Return the registers in as few bytes as that takes: most are zero while there are few texts."""
        return zlib.compress(bytes(self.registers), 1)

    @classmethod
    def unpacked(cls, precision: int, packed: bytes) -> Distinct:
        """Read what :meth:`packed` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            # Bounded: what stands in the database must not fill the memory.
            unpacking = zlib.decompressobj()
            registers = unpacking.decompress(packed, (1 << precision) + 1)
        except zlib.error as error:
            raise ValueError(f"no registers: {error}") from error
        return cls(precision, registers)


class Frequent:
    """The most frequent names of a stream, each with a count that is never too high (Misra and Gries, 1982).

    A count is too low by at most ``missed``, and that is at most total / (capacity + 1); this holds after merging too
    (Agarwal et al., "Mergeable summaries", 2012). A name with a larger share of the stream than that is always kept.
    """

    __slots__ = ("capacity", "counts", "missed", "total")

    def __init__(
        self, capacity: int, counts: Mapping[str, int] | None = None, *, missed: int = 0, total: int = 0
    ) -> None:
        """``capacity``: the most names that it keeps."""
        self.capacity = capacity
        self.counts = dict(counts or {})
        self.missed = missed
        self.total = total

    def add(self, counts: Mapping[str, int]) -> None:
        """Note that each name came so many times."""
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.total += sum(counts.values())
        self._shrink()

    def merge(self, other: Frequent) -> None:
        """Note all that ``other`` has noted."""
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.total += other.total
        self.missed += other.missed
        self._shrink()

    def top(self, number: int) -> list[tuple[str, int]]:
        """Return the ``number`` most frequent names, the first one first; equal ones by name."""
        return heapq.nsmallest(number, self.counts.items(), key=lambda each: (-each[1], each[0]))

    def copy(self) -> Frequent:
        """Return one that may change without this one."""
        return Frequent(self.capacity, self.counts, missed=self.missed, total=self.total)

    def _shrink(self) -> None:
        if len(self.counts) > self.capacity:
            # The largest count that has no place is taken from all: what is left of them are the names kept.
            cut = heapq.nlargest(self.capacity + 1, self.counts.values())[-1]
            self.counts = {name: count - cut for name, count in self.counts.items() if count > cut}
            self.missed += cut
