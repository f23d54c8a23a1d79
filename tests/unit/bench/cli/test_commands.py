"""``./tidemark bench`` as a user meets it, as far as no servers are needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import reports.__main__
from bench import __main__ as command
from bench.errors import BusyError
from bench.matrix import matrix
from bench.run import plan
from bench.run.run import RunOutcome
from tests.unit.reports.made_bundle import Cell, Plan, write

Patch = pytest.MonkeyPatch
Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[4]
KAFKA, MONGO = "PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"


def bench(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        env={**plain, "COLUMNS": "100", **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "asked"), [([], "quick"), (["--plain"], "quick"), (["--plain", "smoke"], "smoke"), (["smoke"], "smoke")]
)
def test_the_matrix_is_quick_unless_one_is_named_anywhere(given: list[str], asked: str) -> None:
    assert command._parser().parse_args(["run", "--report", *given]).matrix == asked


@pytest.mark.parametrize("of", [(), ("plan",), ("run",), ("resume",), ("advise",), ("perf",), ("ceilings",)])
def test_help_has_examples_and_exit_codes(of: tuple[str, ...]) -> None:
    done = bench(*of, "--help")
    assert done.returncode == 0
    command = {"run": "bench", "perf": "perf"}.get("".join(of), " ".join(["bench", *of]))
    assert f"./tidemark {command}" in done.stdout.split("examples:")[1]
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "130"):
        assert f"\n  {code} " in done.stdout.split("exit codes:")[1]


def test_run_and_plan_name_the_matrices_that_there_are() -> None:
    for of in ("run", "plan"):
        assert "full, noise, perf, quick, replication, scaling, smoke" in " ".join(bench(of, "--help").stdout.split())


def test_plan_prints_the_plan_and_starts_nothing() -> None:
    done = bench("plan", "quick")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 cells x 3 rounds = 9 repeats and 3 searches" in done.stdout
    assert "drain-p4-c2" in done.stdout


def test_plan_refuses_what_takes_longer_than_there_is_time() -> None:
    assert bench("plan", "quick", "--max-minutes", "75").returncode == 0
    done = bench("plan", "quick", "--max-minutes", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"'quick' takes about 6 min \d\d s, more than the 2 minutes of --max-minutes: leave", done.stderr)


def test_a_matrix_that_cannot_be_run_is_bad_usage_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('name = "wrong"\nseeds = 1\n[[cells]]\nkind = "drain"\naxes = { partition = [1] }\n')
    for of in ("plan", "run"):
        done = bench(of, str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{file}:2: unknown name 'seeds'; did you mean 'seed'?" in done.stderr
        assert f"{file}:5: unknown name 'partition'; did you mean 'partitions'?" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_command_an_unknown_one_and_an_unknown_matrix_are_bad_usage() -> None:
    assert bench().returncode == 2
    assert bench("benchmark").returncode == 2
    done = bench("run", "quikc")
    assert done.returncode == 2
    assert "did you mean 'quick'?" in done.stderr


def test_only_one_of_the_two_servers_is_bad_usage() -> None:
    done = bench("run", "smoke", **{KAFKA: "localhost:9092"})
    assert done.returncode == 2
    assert f"{KAFKA} is set and {MONGO} is not" in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--rounds", "0"), "write a whole number from 1 to 100"),
        (("--rounds", "many"), "write a whole number from 1 to 100"),
        (("--json", "no/such/folder/file.json"), "cannot be written: name a file in a folder that is there"),
        (("--matrix", "quikc"), "did you mean 'quick'?"),
    ],
)
def test_ceilings_refuses_what_it_cannot_use_before_it_measures(given: tuple[str, ...], words: str) -> None:
    done = bench("ceilings", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "given",
    [
        ("plan", "quick", "--max-minutes", "inf"),
        ("run", "smoke", "--max-minutes", "nan"),
        ("advise", "x", "--target", "inf"),
        ("compare", "x", "y", "--floor", "inf%"),
    ],
)
def test_no_option_takes_a_number_that_is_infinite_or_none(given: tuple[str, ...]) -> None:
    done = bench(*given)
    assert done.returncode == 2
    assert "write a finite number" in done.stderr


def test_there_is_nothing_to_clean_on_servers_that_end_with_the_run() -> None:
    done = bench("clean", "--dry-run")
    assert done.returncode == 2
    assert f"set {KAFKA} and {MONGO} to yours" in done.stderr


def test_plan_refuses_a_write_concern_that_one_node_cannot_meet(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[[cells]]\nkind = "drain"\nfixed = { write_concern = "99" }\n')
    done = bench("plan", str(path))
    assert done.returncode == 2
    assert "mine.toml:4: write_concern = '99' waits for 99 nodes, but only 1 node holds data" in done.stderr


def test_both_servers_from_a_settings_file_are_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KAFKA, MONGO):
        monkeypatch.delenv(name, raising=False)
    chosen = command._parser().parse_args(["run", "smoke"])
    assert command._settings(chosen)[1] is True
    file = tmp_path / "settings.toml"
    file.write_text('[kafka]\nbootstrap_servers = "k:1"\n[mongo]\nuri = "mongodb://m:2"\n')
    monkeypatch.setenv("PIPELINE_SETTINGS_FILE", str(file))
    found, local = command._settings(chosen)
    assert (found.kafka.bootstrap_servers, found.mongo.uri, local) == ("k:1", "mongodb://m:2", False)


def test_data_of_our_own_servers_are_kept_when_asked_for() -> None:
    for arguments, kept in ((["run", "smoke"], False), (["run", "smoke", "--keep-data"], True)):
        assert command._settings(command._parser().parse_args(arguments))[0].local.keep_data is kept


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    done = bench("resume", str(tmp_path))
    assert done.returncode == 2
    assert "holds no manifest.json" in done.stderr


@pytest.mark.parametrize(("ci", "plain"), [("true", True), ("1", True), ("", False), ("false", False)])
def test_in_ci_the_display_is_plain_even_on_a_terminal(ci: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - pytest's way
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with command._display(command._parser().parse_args(["run", "smoke"])) as display:
        assert display._plain is plain


def test_an_interrupted_run_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with command._display(command._parser().parse_args(["run", "smoke"])) as display:
            display.begin(plan.order(matrix.load("smoke")), (), Path("runs/one"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().out.endswith("continue with: ./tidemark bench resume runs/one\n")


@pytest.mark.parametrize("options", [(), ("--report",)])
@pytest.mark.parametrize(("lost", "void", "code"), [(0, 0, 0), (12, 0, 1), (0, 3, 4), (12, 3, 1)])
def test_a_run_ends_with_what_its_report_says_and_with_its_exit_code(
    lost: int,
    void: int,
    code: int,
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.setattr(reports.__main__, "LATEST", tmp_path / "latest.html")  # the user's stays as it is
    cells = [Cell(f"drain-c{number}", "drain", {"consumers": number}) for number in (1, 2)]
    rounds = {(cells[1].id, number): void for number in (1, 2)} if void else {}
    run_dir = write(tmp_path, Plan(cells, rounds=2, lost={("drain-c1", 1): lost} if lost else {}, void=rounds))
    chosen = command._parser().parse_args(["run", "smoke", *options])
    assert command._finish(chosen, RunOutcome(run_dir)) == code
    ended = capsys.readouterr().out
    assert (run_dir / "report.html").exists() is bool(options)
    again = ([] if options else ["--print"]) + [str(run_dir), "--latest", str(tmp_path / "latest.html")]
    assert reports.__main__.main(again) == code
    assert capsys.readouterr().out == ended


@pytest.mark.parametrize(("lost", "code"), [(0, 4), (12, 1)])
def test_a_run_that_was_stopped_has_the_findings_of_what_was_measured(
    lost: int, code: int, tmp_path: Path, capsys: Captured
) -> None:
    plan_ = Plan([Cell("drain-c1", "drain")], rounds=2, status="interrupted", missing={("drain-c1", 2)})
    run_dir = write(tmp_path, replace(plan_, lost={("drain-c1", 1): lost} if lost else {}))
    chosen = command._parser().parse_args(["run", "smoke"])
    assert command._finish(chosen, RunOutcome(run_dir, BusyError("this machine is busy"))) == code
    assert capsys.readouterr().out.endswith(f"continue with: ./tidemark bench resume {run_dir}\n")


def test_a_report_that_cannot_be_written_has_its_own_exit_code(tmp_path: Path) -> None:
    chosen = command._parser().parse_args(["run", "smoke", "--report"])
    assert command._finish(chosen, RunOutcome(tmp_path / "nowhere")) == 2
