"""How `./tidemark` makes .venv, adds to it, goes on after an interruption, and what it says where it cannot.

The environments made here are real, by the real pip and uv, but from locks of one or two small packages, so that a
test takes seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.small_checkout import (
    LOCKS,
    calls_of,
    make_checkout,
    path_with,
    pin,
    run,
    wheel_of_uv,
    write_lock,
    write_tell,
)


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

    def test_a_changed_lock_updates_the_environment(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        in_use = made / ".venv" / "in_use"  # what runs in it now must not lose its files
        in_use.touch()
        write_lock(made, write_tell(tmp_path, "2.0"))
        done = run(made / "tidemark", "report")
        assert "bringing .venv up to date" in done.stdout
        assert [each["version"] for each in calls_of(done)] == ["2.0"]
        assert in_use.exists()

    def test_an_interrupted_update_is_started_again(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        write_lock(made, write_tell(tmp_path, "2.0"), digest="0" * 64)
        assert run(made / "tidemark", "report").returncode == 2
        write_lock(made, write_tell(tmp_path, "2.0"))
        done = run(made / "tidemark", "report")
        assert "making .venv with" in done.stdout
        assert [each["version"] for each in calls_of(done)] == ["2.0"]

    def test_an_interrupted_installation_is_started_again(self, tmp_path: Path) -> None:
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
        assert [each["name"] for each in calls_of(done)] == ["reports"]

    def test_two_commands_at_once_install_once_and_both_run(self, tmp_path: Path) -> None:
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
        assert "Hash mismatch" in done.stderr
        assert "not what the lock names" in done.stderr
        assert calls_of(done) == []
        write_lock(made, wheel)
        assert run(made / "tidemark", "report").returncode == 0

    def test_a_lock_without_hashes_is_not_installed(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        lock = made / "requirements" / "tidemark.txt"
        lock.write_text(lock.read_text(encoding="utf-8").split(" \\")[0] + "\n", encoding="utf-8")
        done = run(made / "tidemark", "report")
        assert done.returncode == 2
        assert "must have a hash" in done.stderr
        assert "not what the lock names" in done.stderr

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
        assert calls_of(done)[0]["name"] == calls_of(run(checkout / "tidemark", "report"))[0]["name"]

    def test_a_python_that_cannot_make_environments_is_refused_with_what_to_install(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        python = Path(sys.executable).resolve()
        bare = f"""exec "{python}" -c 'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[1])' "$2" """
        done = run(made / "tidemark", "report", PATH=path_with(tmp_path / "bin", python3=bare))
        assert done.returncode == 2
        assert "python3 has no venv or ensurepip" in done.stderr
        assert "apt-get install python3-venv" in done.stderr


class TestDevelopersTools:
    def test_a_user_s_command_leaves_developer_tools_out_and_a_session_adds_them(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        assert not list((made / ".venv").glob("lib/*/site-packages/nox"))
        witness = made / ".venv" / "witness"  # an environment made anew would not have it
        witness.touch()
        done = run(made / "tidemark", "test")
        assert "adding the developer's tools" in done.stdout
        assert [each["name"] for each in calls_of(done)] == ["nox"]
        assert witness.exists()

    def test_an_interrupted_installation_of_developer_tools_is_repaired(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "test").returncode == 0
        # As a kill leaves it that came after the packages' records and before all of their files.
        (nox,) = (made / ".venv").glob("lib/*/site-packages/nox/__main__.py")
        nox.unlink()
        (made / ".venv" / "developer.txt").unlink()
        (made / ".venv" / "unfinished").touch()
        assert [each["name"] for each in calls_of(run(made / "tidemark", "report"))] == ["reports"]
        assert [each["name"] for each in calls_of(run(made / "tidemark", "test"))] == ["nox"]

    def test_a_user_s_command_installs_nothing_where_developer_tools_are_installed(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "test").returncode == 0
        done = run(made / "tidemark", "report", PATH=path_with(tmp_path / "bin"))
        assert [line for line in done.stdout.splitlines() if not line.startswith("{")] == []


class TestInstaller:
    def test_the_installer_leaves_only_the_packages(self, checkout: Path) -> None:
        assert not (checkout / ".venv" / "cache").exists()
        assert not (checkout / ".venv" / "unfinished").exists()
        assert not (checkout / ".venv" / "bin" / "uv").exists()

    def test_what_was_fetched_before_an_interruption_is_kept_for_the_next_start(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        wheel = tmp_path / "tell-1.0-py3-none-any.whl"
        write_lock(made, wheel, digest="0" * 64)
        assert run(made / "tidemark", "report").returncode == 2
        uv = tmp_path / "uv.away"
        wheel_of_uv().rename(uv)  # a pip that ran for uv would miss it
        try:
            write_lock(made, wheel, uv=uv)
            (made / LOCKS / "uv.txt").write_text(f"uv @ {wheel_of_uv().as_uri()} --hash=sha256:{'0' * 64}\n")
            done = run(made / "tidemark", "report")
        finally:
            uv.rename(wheel_of_uv())
        assert [each["name"] for each in calls_of(done)] == ["reports"]

    def test_without_uv_for_the_platform_pip_installs(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        (made / LOCKS / "uv.txt").write_text(f"uv==9999.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
        done = run(made / "tidemark", "report", PIP_NO_INDEX="1")
        assert "uv has no build for this platform: pip installs the packages" in done.stdout
        assert [each["name"] for each in calls_of(done)] == ["reports"]

    def test_packages_come_from_where_pip_s_configuration_says(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        wheel = tmp_path / "tell-1.0-py3-none-any.whl"
        digest = pin(wheel).rpartition(":")[2].strip()
        (made / LOCKS / "tidemark.txt").write_text(f"tell==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
        configuration = tmp_path / "pip.conf"
        configuration.write_text(f"[global]\nno-index = true\nfind-links =\n    {tmp_path}\n    /no/such/folder\n")
        without = {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": ""}
        done = run(made / "tidemark", "report", PIP_CONFIG_FILE=str(configuration), **without)
        assert [each["name"] for each in calls_of(done)] == ["reports"], done.stdout + done.stderr

    @pytest.mark.parametrize("lock", ["uv", "tidemark"])
    def test_offline_it_says_what_to_do_and_exits_2(self, lock: str, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        (made / LOCKS / f"{lock}.txt").write_text(f"uv==0.13.9 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
        done = run(made / "tidemark", "report", **nowhere)
        assert done.returncode == 2
        assert "No package index answered. Check the network, then start again" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_full_disk_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        assert run(made / "tidemark", "report").returncode == 0
        (made / ".venv" / "install.log").unlink()
        (made / ".venv" / "install.log").symlink_to("/dev/full")  # the kernel's own answer
        done = run(made / "tidemark", "test")
        assert done.returncode == 2
        assert f"The disk is full: free about 800 MB where {made} is" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_read_only_folder_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        made = make_checkout(tmp_path)
        script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$1/tidemark" report'
        done = run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(made))
        if "unshare:" in done.stderr or "mount:" in done.stderr:
            pytest.skip(f"no mount namespaces here: {done.stderr}")
        assert done.returncode == 2
        assert (
            f"{made} is on a read-only file system: clone Tidemark into a folder that you may write to" in done.stderr
        )
