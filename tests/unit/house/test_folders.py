"""A folder holds few enough modules that a newcomer finds the one they look for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("pipeline", "traffic", "loadtest", "bundle", "stats", "bench", "reports", "tests", "requirements")
MOST_MODULES = 20


def test_no_folder_holds_more_than_twenty_modules() -> None:
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) > 500
    crowded = {str(folder): n for folder, n in Counter(each.parent for each in modules).items() if n > MOST_MODULES}
    assert crowded == {}
