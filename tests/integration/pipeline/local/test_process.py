"""Child processes: their output, their end, and that they never outlive whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.errors import MissingPartError, ProcessFailedError
from pipeline.local.process import ChildProcess

WAIT_S = 20.0
SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
# Ends only of SIGKILL, and has a child of its own that is as stubborn.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    print('here', flush=True)
time.sleep(600)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that starts a stubborn child with a scratch folder, and has it written down."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "data").write_text("x")
    program = f"""
import os, sys, time
from pathlib import Path
from pipeline.local.process import ChildProcess
folder = Path({str(tmp_path)!r})
child = ChildProcess("child", [sys.executable, "-c", {STUBBORN!r}], log_path=folder / "child.log",
                     scratch=[folder / "scratch"])
child.start()
child.wait_for_line("here", 30)
if os.fork() == 0:
    # Holds a copy of the channel, as the worker of a process pool would.
    time.sleep(600)
(folder / "pids").write_text(f"{{child.pid}} {{os.getpid()}}")
os.rename(folder / "pids", folder / "ready")
time.sleep(600)
"""
    started = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        wait_until((tmp_path / "ready").exists, "the parent started its child")
        yield started
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain until {what}"
        time.sleep(0.02)


def group_of(pid: int) -> list[int]:
    """Those processes of group ``pid`` that are alive."""
    alive = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == pid and process.info["status"] != psutil.STATUS_ZOMBIE:
                alive.append(process.pid)
        except ProcessLookupError:
            continue
    return alive


def test_the_output_is_in_the_log_and_the_exit_code_is_its_own(log: Path) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    child = ChildProcess("child", [sys.executable, "-c", program], log_path=log).start()
    assert child.wait(WAIT_S) == 7
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_a_signal_that_ended_it_is_a_negative_exit_code(log: Path) -> None:
    with ChildProcess("child", [sys.executable, "-c", SLEEPER], log_path=log).start() as child:
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(WAIT_S) == -signal.SIGKILL


def test_a_program_that_is_not_there_is_a_missing_part(log: Path) -> None:
    with pytest.raises(MissingPartError, match=r"no-such-program.*No such file"):
        ChildProcess("child", ["/no-such-program"], log_path=log).start()


def test_a_line_is_waited_for_and_its_absence_shows_the_last_words(log: Path) -> None:
    with ChildProcess("child", [sys.executable, "-c", SLEEPER], log_path=log).start() as child:
        assert child.wait_for_line("her", WAIT_S) == "here"
        with pytest.raises(ProcessFailedError, match=r"(?s)did not say 'there'.*child\.log.*here"):
            child.wait_for_line("there", 0.1)
    with pytest.raises(ProcessFailedError, match="ended with exit code"):
        child.wait_for_line("there", WAIT_S)


def test_stop_asks_and_then_kills_with_all_that_the_child_started(log: Path) -> None:
    child = ChildProcess("child", [sys.executable, "-c", STUBBORN], log_path=log).start()
    child.wait_for_line("here", WAIT_S)
    assert len(group_of(child.pid)) == 2
    assert child.stop(grace_s=0.2) == -signal.SIGKILL
    wait_until(lambda: not group_of(child.pid), "the group was gone")


def test_a_stopped_process_can_be_ended_too(log: Path) -> None:
    child = ChildProcess("child", [sys.executable, "-c", SLEEPER], log_path=log).start()
    child.wait_for_line("here", WAIT_S)
    child.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED, "it was stopped")
    assert child.stop(grace_s=WAIT_S) == -signal.SIGTERM


def test_what_it_leaves_behind_ends_with_it(log: Path) -> None:
    program = "import os, time; os.fork() or time.sleep(600)"
    child = ChildProcess("child", [sys.executable, "-c", program], log_path=log).start()
    assert child.wait(WAIT_S) == 0
    wait_until(lambda: not group_of(child.pid), "what it left behind was gone")


def test_after_its_end_it_can_be_started_again(log: Path) -> None:
    child = ChildProcess("child", [sys.executable, "-c", SLEEPER], log_path=log).start()
    first = child.pid
    child.wait_for_line("here", WAIT_S)
    with pytest.raises(ProcessFailedError, match="runs already"):
        child.start()
    child.kill()
    with child.start():
        assert child.pid != first
        child.wait_for_line("here", WAIT_S)
    assert log.read_text().count("here") == 2


@pytest.mark.slow
def test_nothing_outlives_a_parent_that_was_killed(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    child_pid = int((tmp_path / "ready").read_text().split()[0])
    assert len(group_of(child_pid)) == 2

    parent.kill()

    wait_until(lambda: not group_of(child_pid), "the child's group was gone")
    wait_until(lambda: not (tmp_path / "scratch").exists(), "its scratch folder was removed")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process together with its parent")
def test_nothing_outlives_a_guard_that_was_killed(log: Path) -> None:
    child = ChildProcess("child", [sys.executable, "-c", SLEEPER], log_path=log).start()
    child.wait_for_line("here", WAIT_S)
    guard = psutil.Process(child.pid).parent()
    assert guard is not None
    guard.kill()
    wait_until(lambda: not group_of(child.pid), "the child was gone")
    assert child.wait(WAIT_S) == -signal.SIGKILL
