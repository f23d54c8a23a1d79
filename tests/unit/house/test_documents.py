"""What the documentation says and the code knows must be the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.objective import Objective
from pipeline.settings import OBSERVER, PREFIX, SECTIONS, Settings

ROOT = Path(__file__).resolve().parents[3]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
USAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def settings_with_defaults() -> dict[str, str]:
    settings = Settings()
    found = {}
    for section in SECTIONS:
        values = getattr(settings, section)
        for field in values.__struct_fields__:
            default = getattr(values, field)
            text = ",".join(default) if isinstance(default, tuple) else str(default)
            found[f"{PREFIX}{section}_{field}".upper()] = text.lower() if isinstance(default, bool) else text
    return {**found, OBSERVER: settings.observer}


def metrics_in_code() -> set[str]:
    names = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for kind, name in re.findall(r"(Counter|Gauge|Histogram|_gauge)\(\s*\"(tidemark_\w+)\"", text):
            names.add(name + ("_total" if kind == "Counter" else ""))
    return names


def test_operations_lists_every_setting_with_its_default_in_the_order_of_the_code() -> None:
    table = re.findall(rf"^\| `({PREFIX}\w+)` \| (?:`([^`]*)`)? ?\|", OPERATIONS, re.MULTILINE)
    assert table == list(settings_with_defaults().items())


def test_operations_names_every_metric_and_no_other() -> None:
    in_code = metrics_in_code()
    assert len(in_code) > 10
    documented = re.findall(r"`(tidemark_(?:api|worker)_\w+)", OPERATIONS)
    assert set(documented) == in_code


def test_operations_names_every_reason_of_a_dead_letter() -> None:
    section = OPERATIONS.partition("| reason |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    worker = ROOT / "pipeline" / "worker"
    unreadable = re.findall(r"InvalidEventError\(\"(\w+)\"", (worker / "mapping.py").read_text(encoding="utf-8"))
    unwritable = re.findall(
        r"(?:refused\[.*\] = \(|reason = |else )\"(\w+)\"", (worker / "writer.py").read_text(encoding="utf-8")
    )
    assert documented == {*unreadable, *unwritable}


def test_concepts_list_every_bound_with_its_default() -> None:
    table = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", CONCEPTS, re.MULTILINE)
    assert table == [(name, str(getattr(Bounds(), name))) for name in Bounds.__struct_fields__]


def test_usage_lists_every_axis_with_the_kinds_that_know_it() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([a-z ,]+) \|", USAGE, re.MULTILINE)
    documented = {name: kinds for names, kinds in rows for name in re.findall(r"\w+", names)}
    assert documented == {
        name: "all kinds" if kinds.having(name) == kinds.names() else ", ".join(kinds.having(name))
        for name in kinds.axes()
    }


def test_usage_names_every_objective() -> None:
    assert [name for name in Objective.__struct_fields__ if f"`{name}`" not in USAGE] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_named_in_documents_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:pipeline|loadtest|bundle|bench|reports|tests|docs|requirements)/[\w./-]*\w/?)`", text)
    made_later = {"reports/latest.html"}
    assert [path for path in named if path not in made_later and not (ROOT / path).exists()] == []
