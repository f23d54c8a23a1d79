"""The import rules of pyproject.toml: each is broken here once, in a small copy of the house, and must be seen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = {
    "pipeline/errors.py": "",
    "pipeline/messages/identifiers.py": "",
    "pipeline/observer.py": "import pipeline.errors",
    "pipeline/ingest/routes.py": "",
    "pipeline/worker/process.py": "",
    "pipeline/store/seam.py": "",
    "pipeline/store/errors.py": "",
    "pipeline/dashboard/hub.py": "import pipeline.worker.process",
    "traffic/recordlog.py": "import pipeline.errors",
    "traffic/ledger.py": "import traffic.recordlog, pipeline.errors, pipeline.messages.identifiers",
    "loadtest/locustfile.py": "import locust, gevent, traffic.ledger, pipeline.errors",
    "bundle/reading.py": "import msgspec",
    "stats/intervals.py": "import numpy, scipy",
    "bench/__main__.py": "import bench.cli.arguments, reports.page.page",
    "bench/cli/arguments.py": "import bench.run.run",
    "bench/experiments/perf.py": "",
    "bench/selftest/cases.py": "",
    "bench/run/run.py": "import bundle.reading, traffic.ledger, pipeline.worker.process, bench.judge.audit",
    "bench/ceilings/loops.py": "",
    "bench/witness/witness.py": "",
    "bench/load/preload.py": "",
    "bench/targets/target.py": "",
    "bench/judge/audit.py": "import bench.evidence.evidence",
    "bench/search/search.py": "",
    "bench/evidence/evidence.py": "",
    "bench/evidence/stored.py": "",
    "bench/evidence/documents.py": "",
    "bench/evidence/expected.py": "",
    "bench/evidence/sightings.py": "",
    "bench/observe/usage.py": "",
    "bench/recorder/recorder.py": "import pipeline.observer, traffic.recordlog",
    "bench/matrix/matrix.py": "import bench.kinds.drain",
    "bench/kinds/drain.py": "import bench.cells.cellspec, bench.evidence.evidence",
    "bench/cells/cellspec.py": "",
    "bench/attempts.py": "",
    "bench/errors.py": "",
    "bench/retries.py": "",
    "bench/rounds.py": "import stats.intervals",
    "bench/words.py": "",
    "reports/page/page.py": "import bundle.reading, pipeline.errors, reports.tables.account, stats.intervals",
    "reports/tables/account.py": "import reports.kinds.drain",
    "reports/kinds/drain.py": "import bundle.reading",
}


def make_house(folder: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in MODULES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in (path.parent, folder / Path(name).parts[0]):
            (package / "__init__.py").touch()
        path.write_text(text + "\n", encoding="utf-8")


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_allowed_imports_pass(tmp_path: Path) -> None:
    make_house(tmp_path)
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("pipeline/worker/process.py", "bench"),
        ("pipeline/observer.py", "bench.recorder.recorder"),
        ("pipeline/worker/process.py", "traffic.ledger"),
        ("pipeline/errors.py", "reports"),
        ("pipeline/worker/process.py", "pipeline.dashboard.hub"),
        ("pipeline/worker/process.py", "bson"),
        ("pipeline/store/seam.py", "pymongo"),
        ("bench/judge/audit.py", "bson"),
        ("traffic/ledger.py", "bench.run.run"),
        ("traffic/ledger.py", "reports.page.page"),
        ("traffic/ledger.py", "pipeline.worker.process"),
        ("traffic/ledger.py", "locust"),
        ("loadtest/locustfile.py", "bench.run.run"),
        ("loadtest/locustfile.py", "pipeline.worker.process"),
        ("bundle/reading.py", "pipeline.errors"),
        ("bundle/reading.py", "bench.run.run"),
        ("bundle/reading.py", "reports.page.page"),
        ("bundle/reading.py", "pandas"),
        ("bundle/reading.py", "stats.intervals"),
        ("pipeline/worker/process.py", "stats.intervals"),
        ("traffic/ledger.py", "stats.intervals"),
        ("stats/intervals.py", "bundle.reading"),
        ("stats/intervals.py", "bench.run.run"),
        ("stats/intervals.py", "reports.page.page"),
        ("stats/intervals.py", "pandas"),
        ("bench/rounds.py", "bench.run.run"),
        ("bench/run/run.py", "reports.page.page"),
        ("bench/run/run.py", "loadtest.locustfile"),
        ("bench/run/run.py", "gevent"),
        ("bench/matrix/matrix.py", "bench.run.run"),
        ("bench/observe/usage.py", "bench.evidence.evidence"),
        ("bench/kinds/drain.py", "bench.matrix.matrix"),
        ("bench/kinds/drain.py", "bench.search.search"),
        ("bench/cells/cellspec.py", "bench.kinds.drain"),
        ("reports/kinds/drain.py", "reports.tables.account"),
        ("bench/judge/audit.py", "bench.run.run"),
        ("bench/recorder/recorder.py", "bench.evidence.evidence"),
        ("bench/recorder/recorder.py", "numpy"),
        ("bench/judge/audit.py", "bench.targets.target"),
        ("reports/tables/account.py", "reports.page.page"),
        ("reports/page/page.py", "bench.run.run"),
        ("reports/page/page.py", "traffic.ledger"),
        ("reports/page/page.py", "pipeline.ingest.routes"),
    ],
)
def test_forbidden_imports_are_found(tmp_path: Path, importer: str, imported: str) -> None:
    make_house(tmp_path)
    with (tmp_path / importer).open("a", encoding="utf-8") as file:
        file.write(f"import {imported}\n")
    done = check(tmp_path)
    assert done.returncode == 1
    assert " broken." in done.stdout
    assert "0 broken" not in done.stdout
