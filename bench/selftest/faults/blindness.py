"""A reader of bundles that does not look whether they are whole: it leaves out what it cannot read."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from bundle import files, reading
from bundle.errors import BundleError
from bundle.manifest import Manifest


def plant() -> None:
    """Let ``reports`` take what it can read, and say nothing of the rest."""
    cells: Any = importlib.import_module("reports.cells.cells")  # by name: this runs in a process of the reports'
    read, load, summarise = files.read, reading.load, cells.summarise

    def read_what_there_is(path: Path, kind: Any) -> Any:
        try:
            return read(path, kind)
        except BundleError:
            if kind is not Manifest:
                raise
            return Manifest(run_id=path.parent.name, status="complete")

    files.read = read_what_there_is
    reading.load = lambda path: dataclasses.replace(load(path), notes=())
    cells.summarise = lambda run: tuple(dataclasses.replace(cell, notes=()) for cell in summarise(run))
