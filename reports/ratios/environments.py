"""How the environments of two runs differ: what a difference between their numbers may come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bundle.manifest import Manifest
from reports import formats

REVISION = "git revision"
ROUNDS = "rounds"
_NAMED = 3
_OF_SERVERS = ("version of kafka", "version of zookeeper")
"""In one session they differ only where both sides were asked to run on other servers."""


@dataclass(frozen=True)
class Fact:
    """One thing about where a run took place, in both runs; None: the run does not say."""

    name: str
    base: str | None
    new: str | None
    by_design: bool = False
    """Whether an interleaved pair was made to differ in it."""

    @property
    def differs(self) -> bool:
        """Whether it is not the same in both."""
        return self.base != self.new

    def is_expected(self, *, interleaved: bool) -> bool:
        """Whether a difference in it is what was asked for, or of no weight."""
        return self.name == ROUNDS or (interleaved and self.by_design)

    @property
    def sentence(self) -> str:
        """Name it with both values."""
        return f"{self.name}: {self.base or 'not known'} in BASE, {self.new or 'not known'} in NEW"


def facts(base: Manifest, new: Manifest) -> tuple[Fact, ...]:
    """Return all that is known of both environments, whether it differs or not."""
    sides = _facts(base), _facts(new)
    names = dict.fromkeys([*sides[0], *sides[1]])
    known = (Fact(name, sides[0].get(name), sides[1].get(name), by_design=name in _OF_SERVERS) for name in names)
    return (*_variants(base, new), *known, *_axes(base, new))


def _facts(manifest: Manifest) -> dict[str, str | None]:
    machine = manifest.hardware
    return {
        "CPU": machine.cpu or None,
        "cores": formats.value(machine.cores) if machine.cores else None,
        "memory": formats.size(machine.memory_bytes) if machine.memory_bytes else None,
        "kernel": manifest.kernel or None,
        "servers": formats.value(manifest.servers) or None,
        REVISION: revision(manifest),
        **dict(_prefixed("version of ", manifest.versions)),
        **dict(_prefixed("bound ", manifest.bounds)),
        "matrix": manifest.matrix.name or None,
        "seed": formats.value(manifest.matrix.seed),
        ROUNDS: formats.value(manifest.matrix.rounds),
        **dict(_prefixed("objective ", manifest.matrix.objective or {})),
    }


def revision(manifest: Manifest) -> str | None:
    """Return the git revision, and whether there were local changes to it."""
    if manifest.git_revision is None:
        return None
    return manifest.git_revision[:12] + (" with local changes" if manifest.git_dirty else "")


def _prefixed(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, value in values.items():
        if value is not None:
            yield prefix + name, formats.value(value)


def _variants(base: Manifest, new: Manifest) -> Iterator[Fact]:
    """What an interleaved pair was asked to compare."""
    if base.variant is None or new.variant is None:
        return
    yield Fact("variant", base.variant.given, new.variant.given, by_design=True)
    yield Fact("git revision of API and workers", base.variant.git_revision, new.variant.git_revision, by_design=True)


def _axes(base: Manifest, new: Manifest) -> Iterator[Fact]:
    """Name the axes in which cells of one name are not the same cell."""
    theirs = {cell.id: cell.axes for cell in new.cells}
    found: dict[tuple[str, Any, Any], list[str]] = {}
    for cell in base.cells:
        others = theirs.get(cell.id, cell.axes)
        for name in dict.fromkeys([*cell.axes, *others]):  # a setting of a server may stand in one of them alone
            value, other = cell.axes.get(name), others.get(name)
            if other != value:
                found.setdefault((name, formats.value(value), formats.value(other)), []).append(cell.id)
    for (name, value, other), cells in found.items():
        more = ", ..." if len(cells) > _NAMED else ""
        yield Fact(f"axis {name} of {', '.join(cells[:_NAMED])}{more}", value, other, by_design=True)
