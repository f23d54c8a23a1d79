"""What the command line refuses: at once, before Locust starts anything, with the option, its value and the remedy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.loadtest.loadtest_runs import ROOT, free_port
from tests.integration.loadtest.loadtest_target import Target

# Locust's parser patches its process, so it has one of its own, once for all cases.
_PARSE = """
import contextlib, io, json, sys
from locust.argument_parser import get_parser
from loadtest import _locust, _options
from pipeline.errors import UsageError
said = []
for arguments in json.loads(sys.argv[1]):
    parser = get_parser(default_config_files=[])
    _options.register(parser)
    _locust.adapt(parser)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            options = parser.parse_args(arguments)
            _locust.check(options)
            said.append([0, json.dumps(vars(options))])
        except UsageError as error:
            said.append([error.exit_code, str(error)])
        except SystemExit as error:
            said.append([error.code, errors.getvalue()])
print(json.dumps(said))
"""

REFUSED = [
    (["--host", "localhost:8000"], "write http://localhost:8000"),
    (["--users", "0"], "--users=0 cannot be used: write a number from 1 to"),
    (["--users", "-5"], "--users=-5"),
    (["--users", "1000000000"], "--users=1000000000"),
    (["--spawn-rate", "nan"], "--spawn-rate"),
    (["--spawn-rate", "inf"], "--spawn-rate"),
    (["--spawn-rate", "1e-300"], "--spawn-rate=1e-300"),
    (["--run-time", "-5"], "--run-time"),
    (["--run-time", "0"], "--run-time=0"),
    (["--processes", "0"], "--processes=0"),
    (["--processes", "-3"], "--processes=-3"),
    (["--processes", "1000000"], "--processes=1000000 cannot be used: write a number from 1 to 256"),
    (["--web-port", "0"], "--web-port=0"),
    (["--web-port", "70000"], "--web-port=70000"),
    (["--web-host", "300.1.1.1"], "'300.1.1.1' is no address of this machine"),
    (["--master", "--master-bind-port", "99999"], "--master-bind-port=99999"),
    (["--worker", "--master-port", "0"], "--master-port=0"),
    (["--expect-workers", "1000000"], "--expect-workers=1000000"),
    (["--expect-workers-max-wait", "-1"], "--expect-workers-max-wait=-1"),
    (["--autostart", "--autoquit", "-7"], "--autoquit=-7"),
    (["--autoquit", "3"], "--autoquit 3 does nothing without --autostart"),
    (["--master", "--worker"], "--master does not go with --worker"),
    (["--master", "--processes", "2"], "--master does not go with --worker or --processes"),
    (["--exit-code-on-error", "400"], "--exit-code-on-error=400"),
    (["--csv", "/dev/null/all"], "--csv='/dev/null/all' cannot be used: no file can be written at /dev/null"),
    (["--html", "/"], "--html='/' cannot be used: no file can be written at /"),
    (["--json-file", "/dev/null/all"], "--json-file"),
    (["--logfile", "/dev/null/all"], "--logfile"),
    (["visitors"], "Choose what is sent with an option, such as --scenario visitors"),
    (["--tags", "fast"], "the sender has no tags"),
    (["--scenario", "visitor"], "--scenario"),
    (["--event-mix", "page_view=inf"], "--event-mix='page_view=inf' cannot be used: write TYPE=WEIGHT"),
]


def parsed(*cases: list[str]) -> list[tuple[int, str]]:
    """Exit code and message of each command line; its options as JSON where nothing was refused."""
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, json.dumps(cases)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def refused() -> list[tuple[int, str]]:
    return parsed(*(arguments for arguments, _ in REFUSED))


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_invalid_options_are_refused_with_exit_code_2_and_the_remedy(
    refused: list[tuple[int, str]], number: int
) -> None:
    code, said = refused[number]
    assert code == 2
    assert REFUSED[number][1] in said


def test_the_page_and_the_master_of_processes_listen_on_this_machine_alone_unless_asked_otherwise() -> None:
    port, other = (str(free_port()) for _ in range(2))
    cases = parsed(
        ["--web-port", port],
        ["--web-port", port, "--web-host", "*"],
        ["--web-port", port, "--processes", "2"],
        ["--web-port", port, "--master", "--master-bind-port", other],
        ["--web-port", port, "--processes", "2", "--master-bind-host", "*"],
    )
    found = [json.loads(said) for code, said in cases if code == 0]
    assert [each["web_host"] for each in found] == ["127.0.0.1", "*", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
    assert [each["master_bind_host"] for each in found[2:]] == ["127.0.0.1", "*", "*"]


def test_a_port_that_another_program_has_is_refused_and_a_free_one_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ((code, said), (master_code, master_said), (processes_code, options)) = parsed(
            ["--web-port", port],
            ["--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port],
            ["--headless", "--processes", "2", "--master-bind-port", port],
        )
    assert code == master_code == 2
    assert f"--web-port={port} cannot be used: another program listens on it; name a free one" in said
    assert f"--master-bind-port={port}" in master_said
    # Processes of one command find each other over whatever port is free.
    assert processes_code == 0
    assert json.loads(options)["master_bind_port"] == json.loads(options)["master_port"] != int(port)


def test_a_wrong_host_ends_the_command_before_a_process_is_started(tmp_path: Path) -> None:
    with Target() as target:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "loadtest", "--headless", "--processes", "2"),
                *("--host", target.url.removeprefix("http://"), "--ledger", str(tmp_path / "ledger")),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not target.served
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("locust: error: --host=")
    assert f"write {target.url}" in done.stderr
    assert "Starting Locust" not in done.stderr
    assert not (tmp_path / "ledger").exists()
