"""`./tidemark`: what it lists, and what it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.small_checkout import ROOT, calls_of, make_checkout, run

SESSIONS = ("test", "lint", "types", "format", "micro", "screenshots", "lock")


class TestList:
    def test_alone_it_lists_the_packages_and_the_sessions(self) -> None:
        done = run(ROOT / "tidemark")
        assert done.returncode == 0
        listed = [line.split()[0].rstrip(",") for line in done.stdout.splitlines() if line.startswith("  ")]
        of_the_pipeline = ["up", "load", "find", "check", "init", "dashboard", "dead-letters"]
        assert listed == [*["bench"] * 7, "report", "perf", "selftest", *of_the_pipeline, "shell", *SESSIONS]

    def test_the_sessions_listed_are_those_that_nox_knows(self) -> None:
        command = [sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "--list"]
        nox = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        known = dict(re.findall(r"^[*-] (\w+) -> (.+)$", nox, re.MULTILINE))
        assert tuple(known) == SESSIONS
        listed = [line.split(maxsplit=1) for line in run(ROOT / "tidemark").stdout.splitlines() if line[:2] == "  "]
        assert {name: words for name, words in listed if name in SESSIONS} == known

    def test_listing_makes_no_environment(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "--help").returncode == 0
        assert not (made / ".venv").exists()

    @pytest.mark.parametrize("command", ["bnech", "te", "t.*", "--version", "test lint"])
    def test_an_unknown_command_is_refused_with_the_list(self, command: str) -> None:
        done = run(ROOT / "tidemark", command)
        assert done.returncode == 2
        assert f'there is no command "{command}"' in done.stderr
        assert "  bench [MATRIX]" in done.stderr
        assert done.stdout == ""


class TestRunning:
    def test_it_works_from_another_folder_through_a_link_with_spaces_in_the_path(
        self, checkout: Path, tmp_path: Path
    ) -> None:
        link = tmp_path / "a link"
        (tmp_path / "bin").symlink_to(checkout)
        link.symlink_to("bin/tidemark")
        elsewhere = tmp_path / "else where"
        (elsewhere / "reports").mkdir(parents=True)
        (elsewhere / "reports" / "__init__.py").write_text("raise SystemExit('the wrong reports')", encoding="utf-8")
        done = run(link, "report", "runs/a b", cwd=elsewhere)
        assert calls_of(done) == [{"name": "reports", "argv": ["runs/a b"], "cwd": str(elsewhere), "version": "1.0"}]
        assert done.returncode == 0

    def test_perf_is_the_bench_s_whatever_its_arguments(self, checkout: Path) -> None:
        (perf,) = calls_of(run(checkout / "tidemark", "perf", "main", "--quick", BENCH_EXIT="0"))
        assert (perf["name"], perf["argv"]) == ("bench", ["perf", "main", "--quick"])

    def test_up_and_load_run_their_packages(self, checkout: Path) -> None:
        (up,) = calls_of(run(checkout / "tidemark", "up", "--workers", "2"))
        assert (up["name"], up["argv"]) == ("pipeline", ["up", "--workers", "2"])
        (load,) = calls_of(run(checkout / "tidemark", "load", "--headless"))
        assert (load["name"], load["argv"]) == ("loadtest", ["--headless"])

    @pytest.mark.parametrize("given", [["-k", "some thing"], ["--", "-k", "some thing"]])
    def test_a_session_gets_the_arguments(self, checkout: Path, given: list[str]) -> None:
        (nox,) = calls_of(run(checkout / "tidemark", "test", *given))
        assert nox["argv"][-5:] == ["--session", "test", "--", "-k", "some thing"]
        assert "--no-venv" in nox["argv"]

    def test_the_real_report_command_answers(self, tmp_path: Path) -> None:
        lock, installed = ROOT / "requirements" / "tidemark.txt", ROOT / ".venv" / "tidemark.txt"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            assert not os.environ.get("CI"), "CI runs in the environment that ./tidemark made"
            pytest.skip("this environment was not made by ./tidemark, which would make it anew")
        (tmp_path / "link").symlink_to(ROOT / "tidemark")
        done = run(tmp_path / "link", "report", "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout.lower()


class TestScreenshots:
    def test_without_chromium_it_says_what_is_missing(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "--no-venv"]
        command += ["--session", "screenshots", "--", str(tmp_path / "pictures")]
        bare = {**os.environ, "PATH": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=bare)
        assert done.returncode != 0
        assert "error: Chromium is not installed: apt-get install chromium" in done.stdout + done.stderr
        assert "failed with exit code 2" in done.stdout + done.stderr
        assert not (tmp_path / "pictures").exists()


class TestBench:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([], ["run", "--report"]),
            (["smoke"], ["run", "--report", "smoke"]),
            (["run", "smoke"], ["run", "--report", "smoke"]),
            (["--out", "x y", "my.toml"], ["run", "--report", "--out", "x y", "my.toml"]),
            (["resume", "runs/a b", "--plain"], ["resume", "--report", "runs/a b", "--plain"]),
            (["plan", "full"], ["plan", "full"]),
        ],
    )
    def test_arguments_go_to_bench(self, checkout: Path, given: list[str], expected: list[str]) -> None:
        (bench,) = calls_of(run(checkout / "tidemark", "bench", *given, BENCH_EXIT="0"))
        assert (bench["name"], bench["argv"]) == ("bench", expected)

    @pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
    def test_its_exit_code_is_the_bench_s(self, checkout: Path, code: int) -> None:
        assert run(checkout / "tidemark", "bench", BENCH_EXIT=str(code)).returncode == code

    def test_a_signal_to_it_is_one_to_the_bench(self, checkout: Path) -> None:
        command = [str(checkout / "tidemark"), "bench"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "BENCH_EXIT": "0"}
        ) as shell:
            output, _ = shell.communicate(timeout=100)
        assert f"pid {shell.pid}\n" in output

    def test_it_leaves_nothing_beside_the_environment(self, checkout: Path) -> None:
        before = set((checkout / ".venv").iterdir())
        run(checkout / "tidemark", "bench", BENCH_EXIT="0")
        assert set((checkout / ".venv").iterdir()) == before
