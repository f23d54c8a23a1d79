"""What was measured of this machine, kept for later runs under a fingerprint of all that it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from bench.cells.bounds import Bounds
from bench.observe.environment import Environment
from bundle import files
from bundle.result import Disturbance
from bundle.version import SCHEMA_VERSION

DISTURBED_KEPT_S = 3_600.0
"""How long something counts that was measured beside other programs: runs on a busy machine need not wait each time."""


class Kept(Protocol):
    """What can be kept."""

    @property
    def fingerprint(self) -> str:
        """Of all that it depends on."""
        ...  # pragma: no cover - a protocol's body never runs

    @property
    def schema_version(self) -> int:
        """The schema that it was written in."""
        ...  # pragma: no cover - a protocol's body never runs


_Kept = TypeVar("_Kept", bound=Kept)  # Python 3.11 has no type parameters yet


def fingerprint(
    here: Environment, packages: Iterable[str], root: Path, code: Iterable[str], dependencies: Mapping[str, object]
) -> str:
    """Return a checksum of machine, kernel, versions of ``packages``, ``code`` under ``root`` and what the caller adds.

    ``code``: patterns of files. ``dependencies``: whatever else it depends on.
    """
    content = hashlib.blake2b(digest_size=16)
    for pattern in code:
        for path in sorted(root.glob(pattern)):
            content.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    everything = {
        "hardware": here.hardware,
        "kernel": here.kernel,
        "versions": {name: here.versions.get(name) for name in packages},
        "code": content.hexdigest(),
        **dependencies,
    }
    return hashlib.blake2b(msgspec.json.encode(everything, order="sorted"), digest_size=12).hexdigest()


def find(folder: Path, wanted: str, kind: type[_Kept]) -> tuple[_Kept, float] | None:
    """Return what was kept in ``folder`` under the fingerprint ``wanted``, and its age (s); None if nothing was."""
    path = folder / f"{wanted}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=kind)
        age_s = time.time() - path.stat().st_mtime
    except (OSError, msgspec.DecodeError):  # none, or one that was not written to its end
        return None
    return (found, age_s) if (found.fingerprint, found.schema_version) == (wanted, SCHEMA_VERSION) else None


def keep(folder: Path, found: msgspec.Struct, wanted: str) -> None:
    """Keep ``found`` in ``folder`` under the fingerprint ``wanted`` for later runs, if the folder can be written."""
    with contextlib.suppress(OSError):  # this run has it anyway; later runs measure it again
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder / f"{wanted}.json", found)


def is_disturbed(seen: Disturbance | None, bounds: Bounds) -> bool:
    """Say whether the machine had more to do beside it than a valid repeat may have; not known counts as that."""
    return seen is None or seen.other_programs + seen.stolen > bounds.disturbed_share
