"""`./tidemark`: what it lists, how it makes its environment, and what it runs.

The environments made here are real, by the real pip, but from a lock of one small package, so that a test takes
seconds. That package, and the packages of the small checkout, tell how they were called.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = ("test", "lint", "types", "format", "selftest", "micro", "lock")
TOOLS = ("cat", "cmp", "cp", "cut", "dirname", "grep", "head", "readlink", "rm", "sed", "tail", "tee")

TELL = """
import json, os, sys

def tell(name, code=0):
    print(json.dumps({"name": name, "argv": sys.argv[1:], "cwd": os.getcwd(), "version": VERSION}), flush=True)
    raise SystemExit(code)
"""
BENCH = """
import os
from tell import tell

print("pid", os.getpid())
tell("bench", int(os.environ["BENCH_EXIT"]))
"""


def write_wheel(folder: Path, version: str = "1.0") -> Path:
    """A wheel with `tell`, and with a `nox` that tells how it was called."""
    path = folder / f"tell-{version}-py3-none-any.whl"
    info = f"tell-{version}.dist-info"
    files = {
        "tell.py": f"VERSION = {version!r}\n{TELL}",
        "nox/__init__.py": "",
        "nox/__main__.py": "from tell import tell\ntell('nox')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tell\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
    return path


def write_lock(checkout: Path, wheel: Path, digest: str = "") -> None:
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = checkout / "requirements" / "tidemark.txt"
    lock.write_text(f"tell @ {wheel.as_uri()} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")


def make_checkout(folder: Path) -> Path:
    checkout = folder / "a small checkout"
    for package, text in {
        "bench": BENCH,
        "reports": "from tell import tell\ntell('reports')\n",
        "pipeline": "from tell import tell\ntell('pipeline')\n",
        "loadtest": "from tell import tell\ntell('loadtest')\n",
    }.items():
        (checkout / package).mkdir(parents=True)
        (checkout / package / "__init__.py").touch()
        (checkout / package / "__main__.py").write_text(text, encoding="utf-8")
    (checkout / "requirements").mkdir()
    for name in ("tidemark", "noxfile.py"):
        shutil.copy2(ROOT / name, checkout / name)
    write_lock(checkout, write_wheel(folder))
    return checkout


def run(
    command: Path | str, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(command), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**environment, **variables},
    )


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What the small packages told, in order."""
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout whose environment has been made."""
    made = make_checkout(tmp_path_factory.mktemp("commands"))
    first = run(made / "tidemark", "report")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "making .venv with" in first.stdout
    return made


def path_with(folder: Path, **pythons: str) -> str:
    """A PATH that holds the tools of the wrapper, and of Pythons these scripts only."""
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    for name, script in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)


class TestList:
    def test_alone_it_lists_the_packages_and_the_sessions(self) -> None:
        done = run(ROOT / "tidemark")
        assert done.returncode == 0
        listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
        assert listed == [*["bench"] * 7, "up", "load", "report", "perf", *SESSIONS]

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
        assert told(done) == [{"name": "reports", "argv": ["runs/a b"], "cwd": str(elsewhere), "version": "1.0"}]
        assert done.returncode == 0

    def test_perf_is_the_bench_s_whatever_its_arguments(self, checkout: Path) -> None:
        (perf,) = told(run(checkout / "tidemark", "perf", "main", "--quick", BENCH_EXIT="0"))
        assert (perf["name"], perf["argv"]) == ("bench", ["perf", "main", "--quick"])

    def test_up_and_load_run_their_packages(self, checkout: Path) -> None:
        (up,) = told(run(checkout / "tidemark", "up", "--workers", "2"))
        assert (up["name"], up["argv"]) == ("pipeline", ["up", "--workers", "2"])
        (load,) = told(run(checkout / "tidemark", "load", "--headless"))
        assert (load["name"], load["argv"]) == ("loadtest", ["--headless"])

    @pytest.mark.parametrize("given", [["-k", "some thing"], ["--", "-k", "some thing"]])
    def test_a_session_gets_the_arguments(self, checkout: Path, given: list[str]) -> None:
        (nox,) = told(run(checkout / "tidemark", "test", *given))
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


class TestBench:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([], ["run", "--report", "quick"]),
            (["smoke"], ["run", "--report", "smoke"]),
            (["--", "--out", "x y"], ["run", "--report", "quick", "--out", "x y"]),
            (["my.toml", "--", "--out", "x y"], ["run", "--report", "my.toml", "--out", "x y"]),
            (["--out", "x y"], ["run", "--report", "quick", "--out", "x y"]),
            (["resume", "runs/a b", "--plain"], ["resume", "--report", "runs/a b", "--plain"]),
            (["plan", "full"], ["plan", "full"]),
        ],
    )
    def test_arguments_go_to_bench(self, checkout: Path, given: list[str], expected: list[str]) -> None:
        (bench,) = told(run(checkout / "tidemark", "bench", *given, BENCH_EXIT="0"))
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


class TestEnvironment:
    def test_a_second_start_installs_nothing_and_looks_for_no_python(self, checkout: Path, tmp_path: Path) -> None:
        witness = checkout / ".venv" / "witness"  # an environment made anew would not have it
        witness.touch()
        wheel = checkout.parent / "tell-1.0-py3-none-any.whl"
        wheel.rename(wheel.with_suffix(".away"))  # a pip that ran would miss it
        try:
            done = run(checkout / "tidemark", "report", PATH=path_with(tmp_path / "bin"))
            assert witness.exists()
        finally:
            wheel.with_suffix(".away").rename(wheel)
            witness.unlink(missing_ok=True)
        assert done.returncode == 0
        assert [line for line in done.stdout.splitlines() if not line.startswith("{")] == []

    def test_another_lock_brings_it_up_to_date(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        in_use = made / ".venv" / "in_use"  # what runs in it now must not lose its files
        in_use.touch()
        write_lock(made, write_wheel(tmp_path, "2.0"))
        done = run(made / "tidemark", "report")
        assert "bringing .venv up to date" in done.stdout
        assert [each["version"] for each in told(done)] == ["2.0"]
        assert in_use.exists()

    def test_what_was_interrupted_while_brought_up_to_date_is_made_anew(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        write_lock(made, write_wheel(tmp_path, "2.0"), digest="0" * 64)
        assert run(made / "tidemark", "report").returncode == 2
        write_lock(made, write_wheel(tmp_path, "2.0"))
        done = run(made / "tidemark", "report")
        assert "making .venv with" in done.stdout
        assert [each["version"] for each in told(done)] == ["2.0"]

    def test_what_was_interrupted_is_made_anew(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        process = subprocess.Popen(
            [str(made / "tidemark"), "report"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        assert "making .venv with" in process.stdout.readline()
        deadline = time.monotonic() + 60
        while not (made / ".venv" / "bin").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        assert not (made / ".venv" / "tidemark.txt").exists()
        done = run(made / "tidemark", "report")
        assert "making .venv with" in done.stdout
        assert [each["name"] for each in told(done)] == ["reports"]

    def test_two_at_once_make_it_once_and_both_run(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        both = [
            subprocess.Popen([str(made / "tidemark"), "report"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(2)
        ]
        outputs = [process.communicate(timeout=100)[0].decode() for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        assert sum("making .venv with" in output for output in outputs) == 1
        assert all('"name": "reports"' in output for output in outputs)

    def test_a_package_with_a_wrong_hash_is_not_installed(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        wheel = tmp_path / "tell-1.0-py3-none-any.whl"
        write_lock(made, wheel, digest="0" * 64)
        done = run(made / "tidemark", "report")
        assert done.returncode == 2
        assert "the packages could not be installed" in done.stderr
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert told(done) == []
        write_lock(made, wheel)
        assert run(made / "tidemark", "report").returncode == 0

    def test_a_lock_without_hashes_is_not_installed(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        lock = made / "requirements" / "tidemark.txt"
        lock.write_text(lock.read_text(encoding="utf-8").split(" \\")[0] + "\n", encoding="utf-8")
        done = run(made / "tidemark", "report")
        assert done.returncode == 2
        assert "Hashes are required" in done.stderr

    def test_an_old_python_alone_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        # What `-c` prints under an old Python: nothing, for its version is below 3.11.
        old = path_with(tmp_path / "bin", python3="exit 0", python="exit 1")
        done = run(made / "tidemark", "report", PATH=old)
        assert done.returncode == 2
        assert "no Python 3.11 or newer was found" in done.stderr
        assert "Install one" in done.stderr
        assert not (made / ".venv").exists()

    def test_a_newer_python_under_another_name_is_found(self, checkout: Path, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        python = Path(sys.executable).resolve()
        tools = path_with(tmp_path / "bin", python3="exit 0", **{"python3.11": f'exec "{python}" "$@"'})
        done = run(made / "tidemark", "report", PATH=tools)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "making .venv with" in done.stdout
        assert told(done)[0]["name"] == told(run(checkout / "tidemark", "report"))[0]["name"]

    def test_a_python_that_cannot_make_environments_is_refused_with_what_to_install(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        python = Path(sys.executable).resolve()
        bare = f"""exec "{python}" -c 'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[1])' "$2" """
        done = run(made / "tidemark", "report", PATH=path_with(tmp_path / "bin", python3=bare))
        assert done.returncode == 2
        assert "python3 has no venv or ensurepip" in done.stderr
        assert "apt-get install python3-venv" in done.stderr
