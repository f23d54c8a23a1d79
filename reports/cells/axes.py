"""Which axes of the matrix vary, how cells are named by them, and how they are laid out in figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bundle.manifest import CellPlan
from reports import formats

PARTITIONS, CONSUMERS = "partitions", "consumers"
_FIRST = (PARTITIONS, CONSUMERS)
_TITLES = {
    PARTITIONS: "partitions per topic",
    CONSUMERS: "consumers",
    "api_processes": "API processes",
    "batch_max_events": "batch size, events",
    "linger_ms": "linger, ms",
    "payload_bytes": "payload, bytes",
    "visitor_share": "share of single events",
    "offered_load": "offered load, events/s",
    "generator_processes": "generator processes",
    "replication": "copies in Kafka",
    "mongo_members": "MongoDB's members",
}
_WORDS = {
    "api_processes": "{} API",
    "batch_max_events": "batch {}",
    "linger_ms": "linger {} ms",
    "acks": "acks {}",
    "write_concern": "w {}",
    "key_skew": "skew {}",
    "payload_bytes": "{} B",
    "visitor_share": "singles {}",
    "offered_load": "{}/s",
    "generator_processes": "{} generators",
    "driver": "{}",
    "compression": "compression {}",
}
# One of it, and several.
_COUNTED = {
    "brokers": ("broker", "brokers"),
    "replication": ("copy", "copies"),
    "mongo_members": ("member", "members"),
}
_NAMES = {"kraft": "KRaft", "zookeeper": "ZooKeeper"}


@dataclass(frozen=True)
class Layout:
    """A grid of cells: one axis down, one across, and a grid of its own for each combination of ``panels``."""

    down: str
    across: str
    panels: tuple[str, ...]


@dataclass(frozen=True)
class Naming:
    """How cells of one kind are called: by the axes that vary among them."""

    varying: tuple[str, ...]

    def label(self, axes: dict[str, Any]) -> str:
        """Return a short label: partitions × consumers, and what else varies: ``3 × 2, batch 500``."""
        grid = formats.unbroken(f"{formats.value(axes.get(PARTITIONS))} × {formats.value(axes.get(CONSUMERS))}")
        return ", ".join([grid, *(words(name, axes.get(name)) for name in self.varying if name not in _FIRST)])

    def sentence(self, axes: dict[str, Any]) -> str:
        """Return the words for a sentence: ``2 consumers on 3 partitions per topic (batch 500)``."""
        consumers = formats.plural(int(axes.get(CONSUMERS) or 0), "consumer")
        partitions = formats.plural(int(axes.get(PARTITIONS) or 0), "partition")
        rest = ", ".join(words(name, axes.get(name)) for name in self.varying if name not in _FIRST)
        return f"{consumers} on {partitions} per topic" + (f" ({rest})" if rest else "")


def title(name: str) -> str:
    """Name an axis for the edge of a figure or the head of a column."""
    return _TITLES.get(name, name.replace("_", " "))


def words(name: str, given: Any) -> str:
    """Name one value of an axis so that it stands alone: ``batch 500``."""
    if name in _COUNTED and isinstance(given, int):
        return f"{given} {_COUNTED[name][given != 1]}"
    if name == "coordination" and given in _NAMES:
        return _NAMES[given]
    pattern = _WORDS.get(name, name.replace("_", " ") + " {}")
    return pattern.format(formats.value(given))


def naming(cells: Iterable[CellPlan]) -> Naming:
    """Find the axes that vary among cells (of one kind), partitions and consumers first."""
    seen: dict[str, list[Any]] = {}
    for cell in cells:
        for name, given in cell.axes.items():
            seen.setdefault(name, []).append(given)
    varying = [name for name, given in seen.items() if any(one != given[0] for one in given)]
    return Naming(tuple(sorted(varying, key=lambda name: name not in _FIRST)))


def layout(varying: Sequence[str]) -> Layout:
    """Lay out partitions down and consumers across, unless one does not vary and others do."""
    grid = [name for name in (*_FIRST, *varying) if name in varying]
    grid = list(dict.fromkeys(grid))
    if not grid or set(grid) <= set(_FIRST):
        return Layout(PARTITIONS, CONSUMERS, ())
    if len(grid) == 1:
        return Layout(PARTITIONS, grid[0], ())
    across = CONSUMERS if CONSUMERS in grid else PARTITIONS if PARTITIONS in grid else grid[1]
    down = next(name for name in grid if name != across)
    return Layout(down, across, tuple(name for name in grid if name not in (down, across)))


def values(cells: Iterable[CellPlan], name: str) -> list[Any]:
    """Return the different values of an axis among cells: numbers ascending, others as they come."""
    found: list[Any] = []
    for cell in cells:
        if cell.axes.get(name) not in found:
            found.append(cell.axes.get(name))
    if all(isinstance(one, int | float) for one in found):
        return sorted(found)
    return found
