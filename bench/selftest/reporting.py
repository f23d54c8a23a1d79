"""The report as a reader meets it: ``./tidemark report`` on a bundle, and what its files say of one repeat."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RepeatError

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Pages:
    """What ``./tidemark report`` wrote and printed for a bundle; ``summary`` is summary.json, None if there is none."""

    exit_code: int
    output: str
    page: str
    summary: Mapping[str, Any] | None

    def repeat(self, cell: str, attempt: int) -> ReportedRepeat:
        """Return what is said of one repeat (of round 1), as far as a reader finds it in the page."""
        name = f"{cell} round 1" + (f", attempt {attempt}" if attempt > 1 else "")
        summary = self.summary or {"findings": [], "void_attempts": [], "cells": []}
        texts = {html.unescape(text).strip() for text in re.findall(r">([^<]*)<", self.page)}
        findings = [each["finding"] for each in summary["findings"] if each["repeat"] == name]
        # What was seen in a void repeat is not a finding; the page shows it with the attempts of its cell.
        findings += [seen for each in summary["void_attempts"] if each["repeat"] == name for seen in each["seen"]]
        audits = {each["cell"]: each["audit"] for each in summary["cells"]}
        reasons = [why for each in summary["void_attempts"] if each["repeat"] == name for why in each["reasons"]]
        return ReportedRepeat(
            findings=tuple(each for each in findings if any(text.endswith(f": {each}") for text in texts)),
            reasons=tuple(each for each in reasons if any(each in text for text in texts)),
            audit=audits.get(cell, {}),
        )


@dataclass(frozen=True)
class ReportedRepeat:
    """What a report says of one repeat."""

    findings: tuple[str, ...]
    reasons: tuple[str, ...]
    audit: Mapping[str, int]


def write(bundle: Path) -> Pages:
    """Write the report of ``bundle`` as a user would.

    Raises:
        RepeatError: it did not end in time.
    """
    command = [sys.executable, "-m", "reports", str(bundle), "--latest", str(bundle / "latest.html")]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RepeatError(f"the report of {bundle} was not written within {_TIMEOUT_S:g} s") from error
    page, summary = bundle / "report.html", bundle / "summary.json"
    return Pages(
        exit_code=done.returncode,
        output=done.stdout + done.stderr,
        page=page.read_text() if page.exists() else "",
        summary=json.loads(summary.read_text()) if summary.exists() else None,
    )
