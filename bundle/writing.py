"""Writes a bundle: one folder a run, one folder a repeat in it, each appearing whole or not at all.

A repeat is worked on in ``<round>.partial``, which is renamed once its ``result.json`` is written:
whatever has a ``result.json`` is finished, and is never run again. docs/bundle.md is the schema.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bundle import files
from bundle.calibration import Calibration
from bundle.capacity import CapacityAnswer
from bundle.ceilings import Ceilings
from bundle.errors import BundleError
from bundle.manifest import Manifest
from bundle.result import Result

_REPEAT = re.compile(r"^(\d+)(?:\.(\d+))?$")
_PARTIAL = ".partial"
RUN_NUMBERS = 1 << 14


class BundleWriter:
    """One run's folder, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Take hold of the folder ``path``, which is there; raises BundleError if another process has it."""
        self.path = path
        self._lock = (path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise BundleError(f"{path} is being written by another process: wait for it, or end it") from error

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def write_manifest(self, manifest: Manifest) -> None:
        """Write ``manifest.json``."""
        files.write(self.path / "manifest.json", manifest)

    def read_manifest(self) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            BundleError: it is not there, cannot be read, or is of another schema version.
        """
        return files.read(self.path / "manifest.json", Manifest)

    def results(self) -> Iterator[Result]:
        """Return every finished attempt, by cell, round and attempt."""
        for path in sorted(self.path.glob("cells/*/*/result.json"), key=_place):
            if _REPEAT.match(path.parent.name):
                yield files.read(path, Result)

    def attempts(self, cell: str, round_number: int) -> list[Result]:
        """Return the finished attempts at one repeat, first to last."""
        paths = self.path.glob(f"cells/{cell}/{round_number}*/result.json")
        found = (_REPEAT.match(path.parent.name) for path in paths)
        names = [match[0] for match in found if match and int(match[1]) == round_number]
        own = [self.path / "cells" / cell / name / "result.json" for name in names]
        return [files.read(path, Result) for path in sorted(own, key=_place)]

    def write_calibration(self, calibration: Calibration) -> None:
        """Write what the generator can do on this machine."""
        files.write(self.path / "calibration.json", calibration)

    def read_calibration(self) -> Calibration | None:
        """Read what the generator can do on this machine, None as long as nobody knows."""
        path = self.path / "calibration.json"
        return files.read(path, Calibration) if path.exists() else None

    def write_ceilings(self, ceilings: Ceilings) -> None:
        """Write what the bare loops come to on this machine."""
        files.write(self.path / "ceilings.json", ceilings)

    def read_ceilings(self) -> Ceilings | None:
        """Read what the bare loops come to on this machine, None as long as nobody knows."""
        path = self.path / "ceilings.json"
        return files.read(path, Ceilings) if path.exists() else None

    def start_repeat(self, cell: str, round_number: int, attempt: int) -> Path:
        """Return an empty folder to work in, whatever an earlier try left there."""
        partial = self.partial_repeat(cell, round_number, attempt)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        return partial

    def partial_repeat(self, cell: str, round_number: int, attempt: int) -> Path:
        """Return the folder that :meth:`start_repeat` gave, with what is in it by now."""
        return self._repeat(cell, round_number, attempt).with_name(repeat_name(round_number, attempt) + _PARTIAL)

    def drop_repeat(self, partial: Path) -> None:
        """Remove a folder of :meth:`start_repeat` whose repeat will not be run."""
        if partial.parent.parent.parent == self.path and partial.name.endswith(_PARTIAL):
            shutil.rmtree(partial, ignore_errors=True)

    def finish_repeat(self, partial: Path, result: Result) -> Path:
        """Write ``result.json`` last, make all of it durable, and let the repeat appear."""
        files.write(partial / "result.json", result)
        final = self._repeat(result.cell, result.round, result.attempt)
        partial.replace(final)
        files.sync_directory(final.parent)
        return final

    def write_capacity(self, capacity: CapacityAnswer) -> None:
        """Write the answer of a search, beside its probes: a search that has it is finished."""
        files.write(self.path / "cells" / capacity.cell / "capacity.json", capacity)

    def read_capacity(self, cell: str) -> CapacityAnswer | None:
        """Read the answer of a search, None as long as it is not finished."""
        path = self.path / "cells" / cell / "capacity.json"
        return files.read(path, CapacityAnswer) if path.is_file() else None

    def _repeat(self, cell: str, round_number: int, attempt: int) -> Path:
        return self.path / "cells" / cell / repeat_name(round_number, attempt)


def new_run_id(name: str) -> str:
    """Return a run's name: when it started, and the matrix's name."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"


def create(out_dir: Path, run_id: str) -> BundleWriter:
    """Make the folder of a new run.

    Raises:
        BundleError: it cannot be made.
    """
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        path = out_dir / (run_id + suffix)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise BundleError(f"{path} cannot be made ({error.strerror}): choose another folder with --out") from error
        return BundleWriter(path)
    raise BundleError(f"{out_dir} holds too many runs of {run_id}: choose another folder with --out")


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write columns (one-dimensional arrays of one length) as Parquet, by write and rename."""
    partial = path.with_suffix(".writing")
    table = pa.Table.from_arrays([_column(values) for values in columns.values()], list(columns))
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def now() -> str:
    """Return the time in UTC, ISO 8601, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _column(values: Any) -> pa.Array:
    """Numbers as they lie in memory: to convert them, Arrow would first import pandas, for a second."""
    array = np.ascontiguousarray(values)
    if array.dtype.kind not in "iuf":
        return pa.array(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def repeat_name(round_number: int, attempt: int) -> str:
    """Return the name of a repeat's folder."""
    return str(round_number) if attempt == 1 else f"{round_number}.{attempt}"


def _place(path: Path) -> tuple[str, int, int]:
    found = _REPEAT.match(path.parent.name)
    return path.parent.parent.name, int(found[1]) if found else 0, int(found[2] or 1) if found else 0
