"""Every command that help, messages, reports and documents print runs as it stands.

The real script passes each to packages that tell their arguments, and the parser of the real package reads those: a
misspelt command or option fails here, without minutes of measuring. What takes no time runs for good.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.cli import arguments
from bench.selftest import __main__ as selftest
from pipeline import __main__ as pipeline
from reports import __main__ as reports
from tests.acceptance.printed_commands import printed
from tests.acceptance.small_checkout import ROOT, calls_of, run

PARSERS = {
    "bench": lambda: arguments.parser(dict.fromkeys(OF_BENCH, print)),
    "bench.selftest": selftest._parser,
    "pipeline": pipeline._parser,
    "reports": reports.command_line,
}
PARSE_LOAD = """
import json, sys
from locust.argument_parser import get_parser
from loadtest._options import register
parser = get_parser()
register(parser)
for words in json.load(sys.stdin):
    print(words, flush=True, file=sys.stderr)
    parser.parse_args(words)
"""
COMMANDS = (
    "bench",
    "report",
    "perf",
    "selftest",
    "up",
    "load",
    "find",
    "check",
    "init",
    "api",
    "worker",
    "dead-letters",
)
DEVELOPERS = ("shell", "test", "lint", "types", "format", "micro", "screenshots", "lock")
OF_BENCH = ("plan", "run", "resume", "compare", "advise", "ceilings", "clean", "perf")
PRINTED = [(where, words) for where, words in printed() if words and words[0] != "%s"]


@pytest.fixture(scope="module")
def real_environment() -> None:
    for name in ("tidemark.txt", "developer.txt"):
        installed = ROOT / ".venv" / name
        if not installed.exists() or installed.read_bytes() != (ROOT / "requirements" / name).read_bytes():
            assert not os.environ.get("CI"), "CI runs in the environment that ./tidemark made"
            pytest.skip("this environment was not made by ./tidemark, which would make it anew")


def parse(parser: ArgumentParser, words: Sequence[str]) -> str:
    """Return what the parser complains of; nothing if it takes the words."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser.parse_args(words)
        except SystemExit as ended:
            return said.getvalue() if ended.code else ""
    return ""


def test_there_are_commands_in_help_messages_reports_and_documents() -> None:
    places = {where.partition(":")[0] for where, _ in PRINTED}
    assert {"README.md", "bench/__main__.py", "pipeline/__main__.py", "reports/sections/scaling.py"} <= places
    assert len(PRINTED) > 80


@pytest.mark.parametrize(("where", "words"), PRINTED, ids=[f"{where} {words[0]}" for where, words in PRINTED])
def test_a_printed_command_exists(where: str, words: tuple[str, ...], checkout: Path) -> None:
    if words[0] in DEVELOPERS[1:] or "--help" in words:  # a session has pytest's options, and help needs none
        assert words[0] in (*COMMANDS, *DEVELOPERS), where
        return
    if words[0] == "shell":
        assert_shell_command(words)
        return
    done = run(checkout / "tidemark", *words, BENCH_EXIT="0")
    assert done.returncode == 0, f"{where}: {done.stderr}"
    ((package, argv),) = [(each["name"], each["argv"]) for each in calls_of(done)]
    if package == "loadtest":
        return  # all of them at once, below
    if words in {("bench", "compare"), ("bench", "advise"), ("bench", "plan"), ("dead-letters",)}:
        argv.append("--help")  # only its name was meant
    assert not parse(PARSERS[package](), argv), f"{where}: ./tidemark {shlex.join(words)}"


def assert_shell_command(words: tuple[str, ...]) -> None:
    if words == ("shell",):
        return
    assert words[1] == "-c"
    (inner,) = words[2:]
    program, *rest = shlex.split(inner)
    assert program in ("python", "pytest", "locust")
    if program == "python":
        assert rest[0] == "-m"
        assert importlib.util.find_spec(rest[1]), inner
        if rest[1] == "bench":
            assert not parse(PARSERS["bench"](), rest[2:])


def test_locust_takes_the_options_of_every_printed_load() -> None:
    loads = [list(words[1:]) for _, words in PRINTED if words[0] == "load" and "--help" not in words]
    assert len(loads) > 4
    done = subprocess.run(
        [sys.executable, "-c", PARSE_LOAD],
        input=json.dumps(loads),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_misspelt_option_would_be_seen() -> None:
    assert parse(PARSERS["bench"](), ["plan", "quick", "--max-minutess", "3"])
    assert parse(PARSERS["pipeline"](), ["up", "--worker-count", "3"])


@pytest.mark.usefixtures("real_environment")
@pytest.mark.parametrize("command", [*COMMANDS, *DEVELOPERS, *(f"bench {name}" for name in OF_BENCH)])
def test_every_command_has_its_own_help(command: str) -> None:
    done = run(ROOT / "tidemark", *command.split(), "--help", COLUMNS="100")
    assert done.returncode == 0, done.stderr
    assert f"usage: ./tidemark {'bench perf' if command == 'perf' else command}" in done.stdout.lower()
    assert "examples" in done.stdout or command in ("lint", "types", "format")
    assert len(done.stdout.splitlines()) < 100 or command == "load"  # Locust's options and ours are many


@pytest.mark.usefixtures("real_environment")
def test_bench_lists_its_commands() -> None:
    done = run(ROOT / "tidemark", "bench", "--help")
    assert set(OF_BENCH) <= {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}


@pytest.mark.usefixtures("real_environment")
@pytest.mark.parametrize(
    "command",
    [
        "bench plan quick",
        "bench plan full --max-minutes 300",
        "shell -c 'python -m bench plan quick'",
        "selftest --list",
    ],
)
def test_a_command_that_takes_no_time_runs(command: str) -> None:
    done = run(ROOT / "tidemark", *shlex.split(command))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.usefixtures("real_environment")
def test_shell_finds_locust_pytest_and_the_packages() -> None:
    names = ("locust", "pytest", "python")
    asked = "; ".join(f"command -v {name}" for name in names)  # dash looks for the first name only
    done = run(ROOT / "tidemark", "shell", "-c", f"{asked}; cd /; python -c 'import bench'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(ROOT / ".venv" / "bin" / name) for name in names]
