"""Bundles whose files are cut off: the reader has to say which file it is."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.selftest import planting, reporting
from bench.selftest.cases import CLEAN
from bench.selftest.outcome import CaseOutcome
from bundle.writing import repeat_name

NAME = "cut-off"
FILES = ("manifest.json", "result.json", "latency.hlog", "timeseries.parquet")
"""Each is cut in the middle; the histograms are cut between two lines too, where every line that is left is whole."""
AT_A_LINE = "latency.hlog, at a line's end"


def check(clean: Path, attempt: int, out: Path) -> CaseOutcome:
    """Cut off the files of copies of the bundle ``clean``, and read each copy with a careful and a careless reader.

    ``attempt``: the one at the clean run that counts; its files are cut.
    """
    began_s = time.monotonic()
    copies = [_copy(clean, attempt, out, file) for file in (*FILES, AT_A_LINE)]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        careful = list(pool.map(reporting.write, (path for path, _ in copies)))
    names = [name for _, name in copies]
    unnamed = [name for name, pages in zip(names, careful, strict=True) if name not in pages.output]
    with planting.planted({"role": "reports", "blind": True}, out), ThreadPoolExecutor(os.cpu_count()) as pool:
        careless = list(pool.map(reporting.write, (path for path, _ in copies)))
    seeing = [name for name, pages in zip(names, careless, strict=True) if name in pages.output]
    return CaseOutcome(
        case=NAME,
        planted=f"{len(copies)} bundles with a file cut off",
        seen=f"{len(copies) - len(unnamed)} of {len(copies)} named",
        problems=(
            *(f"the report does not say that {name} is cut off" for name in unnamed),
            *(f"a reader that does not look names {name} all the same" for name in seeing),
        ),
        twins=len(copies),
        unseeing=len(seeing),
        took_s=time.monotonic() - began_s,
        attempts=1,
    )


def _copy(clean: Path, attempt: int, out: Path, file: str) -> tuple[Path, str]:
    """Return a copy of ``clean`` with ``file`` cut off, and the file's name."""
    name = file.split(",", maxsplit=1)[0]
    found = [clean / name, *clean.glob(f"cells/{CLEAN}/{repeat_name(1, attempt)}/{name}")]
    whole = next(path for path in found if path.is_file())
    copy = out / f"copy-{(*FILES, AT_A_LINE).index(file) + 1}"  # not by the file's name, which is looked for in words
    shutil.copytree(clean, copy, ignore=shutil.ignore_patterns("report.html", "summary.*", "figures", "latest.html"))
    _let_it_count(copy / f"cells/{CLEAN}/{repeat_name(1, attempt)}/result.json")
    content = (copy / whole.relative_to(clean)).read_bytes()
    middle = len(content) // 2
    end = content.index(b"\n", middle) + 1 if file == AT_A_LINE else middle
    (copy / whole.relative_to(clean)).write_bytes(content[:end])
    return copy, name


def _let_it_count(result: Path) -> None:
    """Take a void attempt for valid: a busy machine may have made the clean run late, and nobody reads what is void."""
    content = json.loads(result.read_bytes())
    result.write_text(json.dumps({**content, "valid": True, "reasons": []}, indent=1))
