"""The pipeline's own processes (API, worker, dashboard) for tests that run them whole."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.recorder.recorder import OBSERVER, Places
from pipeline.commands.supervision import child_environment
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]


def child(
    role: str,
    settings: Settings,
    log_path: Path,
    *,
    name: str = "",
    before: Sequence[str] = (),
    places: Places | None = None,
) -> ChildProcess:
    """``python -m pipeline ROLE`` with these settings, not started yet; ``before``: a command that runs it.

    ``places``: where the harness's recorder writes; None: there is none.
    """
    observed = {"PIPELINE_OBSERVER": OBSERVER, **places.to_environment()} if places else {}
    return ChildProcess(
        name or role,
        [*before, sys.executable, "-m", "pipeline", role],
        log_path=log_path,
        env=child_environment(settings) | observed,
        cwd=ROOT,
    )
