"""Writes the report beside its bundle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bundle import reading
from reports.answer import verdict
from reports.answer.verdict import RunVerdict
from reports.cells import cells
from reports.drawing.panel import Panel
from reports.page import page, summary


def write(folder: Path, latest: Path) -> RunVerdict:
    """Write everything beside the bundle in ``folder``, each file whole or not at all; return the verdict.

    ``latest`` becomes a copy of the page, if its folder can be written.

    Raises:
        BundleError: the bundle cannot be read.
        OSError: the folder cannot be written.
    """
    read = reading.load(folder)
    views = cells.summarise(read)
    judged = verdict.decide(read, views)
    made = page.make(read, views, judged)
    _write_figures(folder / "figures", list(made.figures))
    write_file(folder / "summary.csv", summary.to_csv(read))
    write_file(folder / "summary.json", summary.to_json(read, views, judged))
    write_file(folder / "summary.md", summary.to_markdown(read, views, judged))
    write_file(folder / "report.html", made.html)
    if os.access(latest.parent, os.W_OK):
        write_file(latest, made.html)
    return judged


def _write_figures(folder: Path, figures: Sequence[Panel]) -> None:
    """Write each figure as SVG and its data as CSV; figures of an earlier report are gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for figure in figures:
        write_file(folder / f"{figure.name}.svg", figure.drawing.file)
        write_file(folder / f"{figure.name}.csv", figure.data.to_csv(index=False))


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".writing")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
