"""``./tidemark perf``: what the working tree is compared with, and the steps that are timed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiments import perf, steptimes
from bench.experiments.steptimes import StepsRequest
from bench.micro.steps import STEPS
from bench.targets import checkout
from pipeline.errors import UsageError

ROOT = Path(__file__).parents[4]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits, of which the second changed the pipeline; the checkout of the tests is taken for it."""
    git(tmp_path, "init", "--quiet")
    for name in ("pipeline", "loadtest", "docs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("first")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    (tmp_path / "pipeline" / "file").write_text("second")
    git(tmp_path, "commit", "--quiet", "--all", "--message", "Second")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_a_clean_tree_is_compared_with_the_commit_before() -> None:
    found = perf.against(None, anyway=False)
    assert "HEAD~1" in found.title
    assert "First" in found.title
    assert found.lines[1] == "What differs: pipeline/file."
    assert found.worthwhile


def test_changes_that_are_not_committed_are_compared_with_head(repository: Path) -> None:
    (repository / "pipeline" / "new.py").write_text("")
    found = perf.against(None, anyway=False)
    assert "against HEAD (" in found.title
    assert found.lines[1] == "What differs: pipeline/new.py."


def test_changes_of_what_is_not_measured_do_not_count(repository: Path) -> None:
    (repository / "docs" / "file").write_text("third")
    assert "HEAD~1" in perf.against(None, anyway=False).title
    found = perf.against("HEAD", anyway=False)
    assert not found.worthwhile
    assert "--anyway" in found.lines[-1]
    assert perf.against("HEAD", anyway=True).worthwhile


@pytest.mark.parametrize("name", ["no-such-branch", "HEAD~7", "--help"])
@pytest.mark.usefixtures("repository")
def test_a_revision_that_is_not_there_is_bad_usage(name: str) -> None:
    with pytest.raises(UsageError, match="there is no git revision"):
        perf.against(name, anyway=False)


def test_the_first_commit_has_none_before_it(repository: Path) -> None:
    git(repository, "update-ref", "HEAD", "HEAD~1")
    git(repository, "reset", "--quiet", "--hard")
    with pytest.raises(UsageError, match="the only commit here"):
        perf.against(None, anyway=False)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_does_its_work_in_this_checkout(step, tmp_path: Path) -> None:
    call = step.make(tmp_path)
    assert step.check(call())
    assert step.check(call())  # and again


def test_every_role_of_ours_has_steps_and_their_names_are_their_own() -> None:
    assert {step.role for step in STEPS} == {"generator", "api", "worker"}
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.fixture
def slower(tmp_path: Path) -> Path:
    """A copy of the code in which ids take three times as long to make, and deliveries cannot be logged."""
    for name in ("pipeline", "traffic", "loadtest"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "web"))
    path = tmp_path / "pipeline" / "messages" / "identifiers.py"
    path.write_text(
        path.read_text()
        + "\n_made = new_event_id\n\n\ndef new_event_id() -> str:\n    return _made() and _made() and _made()\n"
    )
    (tmp_path / "pipeline" / "worker" / "deliveries.py").write_text("raise ImportError('gone')\n")
    return tmp_path


def test_a_slower_step_is_seen_and_a_missing_step_is_reported(slower: Path) -> None:
    wanted = ("event-id", "encode", "deliveries")
    rounds = []
    found = {each.name: each for each in steptimes.measure(StepsRequest(ROOT, slower, 1, wanted), rounds.append)}
    assert rounds == [1]
    assert max(found["event-id"].ratios) < 0.5 < min(found["encode"].ratios)
    assert (found["deliveries"].ratios, found["deliveries"].note) == ((), "in BASE only; NEW: ImportError: gone")


OWN_DEFINITIONS = """
from types import SimpleNamespace

EVENTS = 1_000
STEPS = (
    SimpleNamespace(name="deliveries", role="worker", does="as it was", make=lambda _: list, check=lambda _: True),
    SimpleNamespace(name="encode", role="api", does="as it was", make=None, check=None),
    SimpleNamespace(name="gone", role="api", does="no longer there", make=lambda _: list, check=lambda _: True),
)
"""


def test_a_revision_has_its_own_definition_for_what_that_of_the_working_tree_does_not_fit(slower: Path) -> None:
    (slower / "bench" / "micro").mkdir(parents=True)
    (slower / "bench" / "micro" / "steps.py").write_text(OWN_DEFINITIONS)
    wanted = ("encode", "deliveries", "gone")
    found = {each.name: each for each in steptimes.measure(StepsRequest(slower, ROOT, 1, wanted), lambda _: None)}
    assert (len(found["encode"].ratios), found["encode"].note) == (1, "")  # that of the working tree fits
    assert found["deliveries"].note == "BASE timed by its own definition of the step"
    assert len(found["deliveries"].ratios) == 1
    assert found["gone"].note == "in BASE only; NEW: no such step"


def test_a_step_that_nobody_knows_is_bad_usage() -> None:
    with pytest.raises(UsageError, match=r"no step maps: bench/micro/steps\.py"):
        steptimes.measure(StepsRequest(ROOT, ROOT, 1, ("maps",)), lambda _: None)


def test_the_command_refuses_an_unknown_revision() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "perf", "no-such-branch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no git revision 'no-such-branch'" in done.stderr
