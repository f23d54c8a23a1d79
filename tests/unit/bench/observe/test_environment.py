"""Where a run took place is recorded, also where there is no git."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from bench.observe import environment


def test_versions_hardware_and_kernel_are_recorded() -> None:
    found = environment.describe({"kafka": "4.3.1"})
    assert found.versions["python"] == platform.python_version()
    assert found.versions["kafka"] == "4.3.1"
    assert {"aiokafka", "motor", "pymongo", "sanic", "locust", "numpy", "msgspec"} <= set(found.versions)
    assert found.hardware.cores == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True
    assert found.hardware.memory_bytes > 100_000_000
    assert found.hardware.cpu
    assert platform.release() in found.kernel


def test_servers_versions_can_be_added_later() -> None:
    found = environment.with_servers(environment.describe({"kafka": "3.9.2"}), {"kafka": "4.3.1", "mongod": "6.0.5"})
    assert (found.versions["kafka"], found.versions["mongod"]) == ("4.3.1", "6.0.5")


def test_the_revision_is_the_checkout_s_and_a_change_makes_it_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "-m", "one")
    monkeypatch.setattr(environment, "_HERE", tmp_path)
    found = environment.describe()
    assert (found.git_revision, found.git_dirty) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("two")
    assert environment.describe().git_dirty is True


def test_without_git_or_a_checkout_the_revision_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_HERE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (environment.describe().git_revision, environment.describe().git_dirty) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.describe().git_revision is None


def test_a_git_that_hangs_or_fails_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environment, "_GIT_TIMEOUT_S", 0.2)
    assert environment.describe().git_revision is None
    fake.write_text("#!/bin/sh\nexit 128\n")
    assert environment.describe().git_revision is None
