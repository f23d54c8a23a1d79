"""Loads from an earlier run, so that two runs can be compared: ``./tidemark bench --baseline RUN``.

Loads that a matrix leaves open come from the results of the same cells in that run: the offered load of a steady cell,
the first load of a search, the number of events that a drain preloads. A load that the matrix sets in events/s stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.matrix.matrix import Matrix
from bundle.capacity import CapacityAnswer
from bundle.manifest import Baseline, Manifest
from bundle.result import Result
from bundle.version import SCHEMA_VERSION
from pipeline.errors import UsageError

_NAMED = 5
_Content = TypeVar("_Content", bound=Struct)


def find(run: str, runs: Path) -> Path:
    """Return a run's folder: ``run`` as a path, or as a name under ``runs``.

    Raises:
        UsageError: there is no such run.
    """
    for folder in (Path(run), runs / run):
        if (folder / "manifest.json").is_file():
            return folder
    raise UsageError(f"--baseline {run}: there is no {Path(run) / 'manifest.json'}, nor one in {runs}/: name a run")


def read(folder: Path, wanted: Matrix) -> Baseline:
    """Read from the run in ``folder`` the loads that ``wanted`` leaves open.

    Raises:
        UsageError: the run cannot be read, or has no valid repeat of a cell whose load is open.
    """
    manifest = _decode(folder / "manifest.json", Manifest)
    if manifest.schema_version != SCHEMA_VERSION:
        version = f"has schema version {manifest.schema_version}, this program reads {SCHEMA_VERSION}"
        raise UsageError(f"--baseline {folder}: its manifest.json {version}: name a newer run")
    found = {cell.id: _load_of(folder, cell) for cell in wanted.cells if kinds.named(cell.kind).is_open(cell)}
    missing = [name for name, load in found.items() if load is None]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UsageError(
            f"--baseline {folder}: it has no valid repeat of {', '.join(missing[:_NAMED])}{more}, so it has no load "
            f"for {'it' if len(missing) == 1 else 'them'}: name a run of the matrix {wanted.name!r}, or drop --baseline"
        )
    return Baseline(manifest.run_id, {name: load for name, load in found.items() if load is not None})


def applied(wanted: Matrix, given: Baseline | None) -> Matrix:
    """Return ``wanted`` with the loads of the baseline; unchanged if ``given`` is None."""
    if given is None:
        return wanted
    return structs.replace(wanted, cells=tuple(_with(cell, given.loads.get(cell.id)) for cell in wanted.cells))


def _with(cell: CellSpec, load: float | None) -> CellSpec:
    if load is None:
        return cell
    changed: CellSpec = kinds.named(cell.kind).with_load(cell, load)
    return changed


def _load_of(folder: Path, cell: CellSpec) -> float | None:
    """Return the load of a cell in the run, in events/s (of a drain: its events); None without a valid repeat."""
    kind = kinds.named(cell.kind)
    file = folder / "cells" / cell.id / "capacity.json"
    answer = _decode(file, CapacityAnswer) if kind.searches and file.is_file() else None
    return kind.load_of(_results(folder, cell), answer)


def _results(folder: Path, cell: CellSpec) -> Sequence[Result]:
    """Return the valid repeats of a cell; a cell of the same name but another kind does not count."""
    files = sorted((folder / "cells" / cell.id).glob("*/result.json"))
    results = [_decode(file, Result) for file in files if not file.parent.name.endswith(".partial")]
    return [each for each in results if each.valid and each.kind == cell.kind]


def _decode(path: Path, kind: type[_Content]) -> _Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"--baseline: {path} cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"--baseline: {path} is damaged: {error}") from error
