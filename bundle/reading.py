"""Reads a bundle: the files of docs/bundle.md as typed Structs. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow.parquet as pq
from msgspec import Struct

from bundle import files
from bundle.calibration import Calibration
from bundle.capacity import CapacityAnswer
from bundle.ceilings import Ceilings
from bundle.errors import BundleError, NoRunError, SchemaVersionError
from bundle.manifest import CellPlan, Manifest
from bundle.result import Result

_NAMED_IN_A_NOTE = 8
_UNFINISHED = ".partial"
_Content = TypeVar("_Content", bound=Struct)  # Python 3.11 has no type parameters yet


@dataclass(frozen=True)
class Repeat:
    """One attempt at one repeat: its folder and its result."""

    path: Path
    result: Result

    @property
    def name(self) -> str:
        """Cell and round, with the attempt where it is not the first: ``drain-p1-c2 round 2, attempt 3``."""
        attempt = f", attempt {self.result.attempt}" if self.result.attempt > 1 else ""
        return f"{self.result.cell} round {self.result.round}{attempt}"


@dataclass(frozen=True)
class Bundle:
    """A run: ``repeats`` in the order of cells, rounds and attempts; ``notes`` say what is missing or unreadable.

    ``capacities``: by cell, what the search of a capacity cell found; a cell whose search has not ended is not in it.
    ``calibration``: what the generator can do on the machine of the run, ``ceilings``: what the bare loops reach there;
    None where nobody asked.
    """

    path: Path
    manifest: Manifest
    repeats: tuple[Repeat, ...]
    notes: tuple[str, ...]
    capacities: dict[str, CapacityAnswer] = field(default_factory=dict)
    calibration: Calibration | None = None
    ceilings: Ceilings | None = None

    @property
    def valid(self) -> tuple[Repeat, ...]:
        """The attempts that count."""
        return tuple(repeat for repeat in self.repeats if repeat.result.valid)

    def of_cell(self, cell_id: str) -> tuple[Repeat, ...]:
        """Every attempt of one cell."""
        return tuple(repeat for repeat in self.repeats if repeat.result.cell == cell_id)


def find(run: str | None, runs: Path) -> Path:
    """Return the bundle's folder: ``run`` as a path or a run's name under ``runs``, by default the newest there.

    NoRunError if there is none.
    """
    if run is not None:
        for folder in (Path(run), runs / run):
            if (folder / "manifest.json").is_file():
                return folder
        if Path(run).name == "manifest.json" and Path(run).is_file():
            return Path(run).parent
        raise NoRunError(f"{run} is no run: there is no {Path(run) / 'manifest.json'}, nor one under {runs}/")
    manifests = sorted(runs.glob("*/manifest.json"), key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    if not manifests:
        raise NoRunError(f"there is no run under {runs}/ to report on: measure one with ./tidemark bench, or name one")
    return manifests[-1].parent


def load(path: Path) -> Bundle:
    """Read the bundle at ``path``.

    BundleError without a readable manifest, SchemaVersionError if any file has another version.
    A damaged result or capacity, or one that is not there, is a note.
    """
    manifest = files.read(path / "manifest.json", Manifest)
    repeats, notes = [], []
    for folder in sorted(path.glob("cells/*/*"), key=_place):
        if not folder.is_dir():
            continue
        if folder.name.endswith(_UNFINISHED) or not (folder / "result.json").is_file():
            place = folder.name.removesuffix(_UNFINISHED).replace(".", ", attempt ")
            notes.append(f"{folder.parent.name} round {place}: begun, not finished")
            continue
        try:
            repeats.append(Repeat(folder, files.read(folder / "result.json", Result)))
            notes += _damaged_tables(folder)
        except SchemaVersionError:
            raise
        except BundleError as error:
            notes.append(str(error))
    ids = [cell.id for cell in manifest.cells]
    ids += sorted({repeat.result.cell for repeat in repeats} - set(ids))
    repeats.sort(key=lambda r: (ids.index(r.result.cell), r.result.round, r.result.attempt))
    capacities, unanswered = _capacities(path, repeats)
    calibration, damaged = _of_machine(path / "calibration.json", Calibration)
    ceilings, also_damaged = _of_machine(path / "ceilings.json", Ceilings)
    notes += [*unanswered, *damaged, *also_damaged, *_missing(manifest, repeats)]
    whole = _with_all_cells(manifest, repeats)
    return Bundle(path, whole, tuple(repeats), tuple(notes), capacities, calibration, ceilings)


def _of_machine(file: Path, kind: type[_Content]) -> tuple[_Content | None, list[str]]:
    """Read what is known of the machine, if the run asked; a damaged file is a note."""
    if not file.is_file():
        return None, []
    try:
        return files.read(file, kind), []
    except SchemaVersionError:
        raise
    except BundleError as error:
        return None, [str(error)]


def _damaged_tables(folder: Path) -> list[str]:
    """Look at the ends of a repeat's Parquet files: one that is cut off has none."""
    notes = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            pq.read_metadata(path)
        except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
            notes.append(f"{path} is damaged, and nothing is shown of it: {str(error).splitlines()[0]}")
    return notes


def _capacities(path: Path, repeats: Sequence[Repeat]) -> tuple[dict[str, CapacityAnswer], list[str]]:
    """Read the answers of the searches, by cell; a damaged file is a note, and so are probes without an end."""
    found: dict[str, CapacityAnswer] = {}
    notes, damaged = [], set()
    for file in sorted(path.glob("cells/*/capacity.json")):
        try:
            capacity = files.read(file, CapacityAnswer)
        except SchemaVersionError:
            raise
        except BundleError as error:
            notes.append(str(error))
            damaged.add(file.parent.name)
        else:
            found[capacity.cell] = capacity
    probed = dict.fromkeys(repeat.result.cell for repeat in repeats if repeat.result.probe is not None)
    open_ = [cell for cell in probed if cell not in found and cell not in damaged]
    return found, notes + [f"{cell}: its search has not ended, there is no capacity.json" for cell in open_]


def _place(folder: Path) -> tuple[str, float, str]:
    number, _, attempt = folder.name.partition(".")
    if number.isdigit() and (attempt or "1").isdigit():
        return folder.parent.name, int(number) * 100 + int(attempt or 1), ""
    return folder.parent.name, float("inf"), folder.name


def _with_all_cells(manifest: Manifest, repeats: list[Repeat]) -> Manifest:
    """Add the cells that have results and are not in the manifest."""
    known = {cell.id for cell in manifest.cells}
    more = {
        repeat.result.cell: CellPlan(repeat.result.cell, repeat.result.kind, repeat.result.axes)
        for repeat in repeats
        if repeat.result.cell not in known
    }
    return msgspec.structs.replace(manifest, cells=(*manifest.cells, *more.values()))


def _missing(manifest: Manifest, repeats: list[Repeat]) -> list[str]:
    """Name the planned repeats without any result, as one note."""
    there = {(repeat.result.cell, repeat.result.round) for repeat in repeats}
    missing = [f"{cell} round {number}" for cell, number in manifest.order if (cell, number) not in there]
    if not missing:
        return []
    more = len(missing) - _NAMED_IN_A_NOTE
    shown = ", ".join(missing[:_NAMED_IN_A_NOTE]) + (f" and {more} more" if more > 0 else "")
    return [f"{len(missing)} of {len(manifest.order)} planned repeats have no result: {shown}"]
