"""Whether this machine has the memory and the disk that the servers of a stack take before any load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

import psutil
from msgspec import Struct

from pipeline.local.stackspec import StackSpec

_MB = 1e6
# MB in memory and on the disk, measured on Linux after a start. Under load a broker's heap grows to 512 MB, a mongod's
# cache to 1 GB and its oplog to 1 GB.
_BROKER, _MEMBER, _ZOOKEEPER = (360, 2), (140, 300), (75, 1)


class Room(Struct, frozen=True):
    """Memory and disk, in bytes."""

    memory_bytes: float
    disk_bytes: float


def needed(spec: StackSpec) -> Room:
    """Return what the servers of ``spec`` take once they serve, before any load."""
    counted = ((spec.brokers, _BROKER), (spec.mongo_members, _MEMBER), (int(spec.zookeeper), _ZOOKEEPER))
    memory_mb, disk_mb = (sum(count * each[at] for count, each in counted) for at in (0, 1))
    return Room(memory_mb * _MB, disk_mb * _MB)


def available(folder: Path) -> Room:
    """Return the memory that programs can still have, and the disk where ``folder`` is or will be."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return Room(psutil.virtual_memory().available, disk_usage(there).free)


def shortages(spec: StackSpec, folder: Path) -> Iterator[str]:
    """Say what this machine has too little of for the servers of ``spec`` with their data in ``folder``."""
    need, there = needed(spec), available(folder)
    fewer = "start fewer servers" if spec.brokers + spec.mongo_members > 2 else "use servers of your own"  # noqa: PLR2004 - one of each
    if there.memory_bytes < need.memory_bytes:
        yield (
            f"too little memory: {spec.words()} take about {need.memory_bytes / _MB:,.0f} MB before any load, and "
            f"{there.memory_bytes / _MB:,.0f} MB are available. The system may end one of them: "
            f"end other programs, or {fewer}"
        )
    if there.disk_bytes < need.disk_bytes:
        yield (
            f"too little disk: {spec.words()} take about {need.disk_bytes / _MB:,.0f} MB before any event, and "
            f"{there.disk_bytes / _MB:,.0f} MB are free in {folder}: make room there, or {fewer}"
        )
