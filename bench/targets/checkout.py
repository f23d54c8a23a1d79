"""Another revision of the code, in a folder of its own for as long as it is measured."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import MissingPartError

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120.0
OBSERVER = "PIPELINE_OBSERVER"
DELIVERIES = "PIPELINE_WORKER_DELIVERIES_PATH"
"""By the first a revision's deliveries are seen, by the second those of the revisions before it."""
_LIST_SETTINGS = """
from pipeline.settings import PREFIX, Settings
for section in Settings.__struct_fields__:
    for field in getattr(getattr(Settings(), section), "__struct_fields__", ("",)):
        print(f"{PREFIX}{section}_{field}".upper().rstrip("_"))
"""


@dataclass(frozen=True)
class Checkout:
    """A folder with the code of a revision, and the names of the settings that it knows."""

    folder: Path
    settings: frozenset[str]


def commit_of(given: str) -> str:
    """Return the commit that a revision names.

    Raises:
        MissingPartError: there is none, or no git.
    """
    return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{given}^{{commit}}")


def is_changed(folders: Sequence[str]) -> bool:
    """Say whether the working tree has changes in ``folders`` that are not committed.

    Raises:
        MissingPartError: there is no git, or no checkout.
    """
    return bool(_git("status", "--porcelain", "--", *folders))


def changed_since(commit: str, folders: Sequence[str]) -> tuple[str, ...]:
    """Return the files in ``folders`` that are not the same in the working tree and in ``commit``.

    Raises:
        MissingPartError: there is no git, or no such commit.
    """
    changed = _git("diff", "--name-only", commit, "--", *folders).splitlines()
    new = _git("ls-files", "--others", "--exclude-standard", "--", *folders).splitlines()
    return tuple(sorted({*changed, *new}))


def title_of(commit: str) -> str:
    """Return a commit as people know it: short, with the first line of its message.

    Raises:
        MissingPartError: there is no git, or no such commit.
    """
    return _git("log", "-1", "--format=%h %s", commit)


@contextlib.contextmanager
def checked_out(commit: str | None) -> Iterator[Checkout | None]:
    """Return a checkout of ``commit`` that is gone after the block; None for no commit.

    Raises:
        MissingPartError: git cannot check it out, or its API and workers cannot be measured by this harness.
    """
    if commit is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="tidemark-checkout-"))
    code = folder / "code"
    try:
        _git("worktree", "add", "--detach", str(code), commit)
        settings = frozenset(_run([sys.executable, "-c", _LIST_SETTINGS], code).split())
        if not settings & {OBSERVER, DELIVERIES}:
            needed = f"neither {OBSERVER} nor {DELIVERIES}, by which deliveries are seen"
            raise MissingPartError(f"revision {commit} has {needed}: name a later one")
        yield Checkout(code, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _git("worktree", "prune")


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise MissingPartError("git is not on PATH: a revision can only be compared in a checkout, with git")
    return _run([git, *arguments], ROOT)


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        message = str(getattr(error, "stderr", None) or error).strip()
        what = " ".join([Path(command[0]).name, *command[1:2]])
        raise MissingPartError(f"{what} failed in {folder}: {message}") from error
    return done.stdout.strip()
