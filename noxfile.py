"""The developer's sessions: `./tidemark test`, `lint`, `micro` and others; `--help` prints their docstrings.

Every session runs in the environment that `./tidemark` made from developer.txt. nox makes no other environment.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "none"
nox.options.sessions = ["test"]

PYTHON = sys.executable
# The smaller locks, and the extras of pyproject.toml that each adds to the dependencies.
PARTS = {"tidemark": ("local", "harness"), "pipeline": ()}
REACHING_AN_INDEX = ("UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_HTTP_TIMEOUT", "UV_INDEX_URL", "UV_NATIVE_TLS")


@nox.session
def test(session: nox.Session) -> None:
    """Run lint, types, imports, all tests and the self-test, as CI does (--long: also the slow ones).

    Other arguments go to pytest.

    examples:
      ./tidemark test
      ./tidemark test -k worker
      ./tidemark test --long
      ./tidemark test --brokers 3 --mongo-members 3 -k worker
    """
    chosen = list(session.posargs)
    marked = [] if "--long" in chosen else ["-m", "not slow"]
    pytest_arguments = [*marked, *(each for each in chosen if each != "--long")]
    # Each process has servers of its own; more than two would take the machine from each other.
    two_at_once = ["--numprocesses=2", "--dist=loadfile"]
    stages: dict[str, Callable[[], None]] = {
        "lint": lambda: _lint(session),
        "types": lambda: _types(session),
        "imports": lambda: _imports(session),
        "unit": lambda: _pytest(session, "tests/unit", "--numprocesses=auto", *pytest_arguments),
        "integration": lambda: _pytest(session, "tests/integration", *two_at_once, *pytest_arguments),
        "acceptance": lambda: _pytest(session, "tests/acceptance", *pytest_arguments),
        "browser": lambda: _pytest(session, "tests/browser", *two_at_once, *pytest_arguments),
        "selftest": lambda: _selftest(session, *([] if "--long" in chosen else ["--short"])),
    }
    lines, failed = [], []
    for name, stage in stages.items():
        session.log(f"stage {name}")
        began_s = time.monotonic()
        try:
            stage()
            outcome = "passed"
        except CommandFailed:
            outcome = "FAILED"
            failed.append(name)
        lines.append(f"  {name:<12} {outcome:<7} {time.monotonic() - began_s:7.1f} s")
    session.log("the stages and what they took:\n" + "\n".join(lines))
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check ruff's rules, the format, and which package imports which."""
    _lint(session)
    _imports(session)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy, strict."""
    _types(session)


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Format every file with ruff, and fix what ruff can fix."""
    session.run(PYTHON, "-m", "ruff", "check", "--fix-only", "--quiet", ".")
    session.run(PYTHON, "-m", "ruff", "format", ".")


@nox.session
def micro(session: nox.Session) -> None:
    """Run the micro-benchmarks, save the results, and compare them with the last ones.

    Names of files in bench/micro select these files. Other arguments go to pytest.

    examples:
      ./tidemark micro                      all; inserts and drains start Kafka and MongoDB
      ./tidemark micro test_steps.py        only the steps that an event passes: no servers, under a minute
      ./tidemark micro -k 'map or bson'
    """
    compare = ["--benchmark-compare"] if any(Path(".benchmarks").glob("*/*.json")) else []
    folder = Path("bench/micro")
    named = [str(folder / each) for each in session.posargs if (folder / each).is_file()]
    others = [each for each in session.posargs if not (folder / each).is_file()]
    _pytest(session, *(named or [str(folder)]), "--benchmark-autosave", *compare, *others)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Photograph every page, in both themes, at desktop and phone size. Needs Chromium.

    examples:
      ./tidemark screenshots
      ./tidemark screenshots /tmp/pictures
    """
    session.run(PYTHON, "-m", "tests.browser.screenshots", *(session.posargs or ["screenshots"]))


@nox.session
def lock(session: nox.Session) -> None:
    """Write the locks in requirements/ from pyproject.toml (--upgrade: use the newest versions).

    examples:
      ./tidemark lock
      ./tidemark lock --upgrade
    """
    # uv also reads options from variables and files. Variables that only say how to reach an index may pass;
    # what would change the result may not. The lock names no index.
    env: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("UV_") and name not in REACHING_AN_INDEX
    }
    env["UV_NO_CONFIG"] = "1"
    command = [PYTHON, "-m", "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url"]
    command += ["--python-version", "3.11"]
    upgrade, whole = list(session.posargs), "requirements/developer.txt"
    session.run(*command, *upgrade, "--all-extras", "pyproject.toml", "-o", whole, env=env, silent=True)
    for part, extras in PARTS.items():
        chosen = [f"--extra={extra}" for extra in extras]
        output = ["-o", f"requirements/{part}.txt"]
        session.run(*command, *upgrade, "-c", whole, *chosen, "pyproject.toml", *output, env=env, silent=True)
    # The lock of uv, which installs the others, is uv's part of the whole lock.
    pin = re.findall(r"^uv==.*\n(?:    --hash=.*\n)+", Path(whole).read_text(encoding="utf-8"), re.MULTILINE)
    Path("requirements/uv.txt").write_text("".join(pin), encoding="utf-8")


def _lint(session: nox.Session) -> None:
    session.run(PYTHON, "-m", "ruff", "check", ".")
    session.run(PYTHON, "-m", "ruff", "format", "--check", ".")


def _types(session: nox.Session) -> None:
    session.run(PYTHON, "-m", "mypy")
    session.run(PYTHON, "-m", "mypy", "--strict", *map(str, Path("requirements").glob("*.py")))


def _imports(session: nox.Session) -> None:
    # import-linter has no module to run with -m, and its script contains the path of this folder.
    session.run(PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()")


def _pytest(session: nox.Session, *arguments: str) -> None:
    session.run(PYTHON, "-m", "pytest", *arguments)


def _selftest(session: nox.Session, *arguments: str) -> None:
    session.run(PYTHON, "-m", "bench.selftest", *arguments)
