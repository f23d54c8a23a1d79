"""Sampling: what processes use is seen, and stays counted when they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.observe.processes import Followed, Usage, total
from bench.observe.sampling import UsageSampler, clock_offset

BURN = (
    "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('done', flush=True)\n"
)


def test_a_process_that_ended_keeps_what_it_used_and_holds_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN + "input()"], stdin=-1, stdout=-1) as child:
        sampler = UsageSampler(lambda: {"worker": [child.pid]})
        child.stdout.readline()
        sampler.start()
        child.stdin.write(b"\n")
        child.stdin.close()
        child.wait()
        sampler.stop()
    first, last = sampler.samples[0].usage["worker"], sampler.samples[-1].usage["worker"]
    assert first.cpu_s >= 0.3
    assert first.memory_bytes > 0
    assert last.cpu_s >= first.cpu_s
    assert last.memory_bytes == 0


def test_children_count_with_their_parent() -> None:
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r} + 'input()'])",
    ]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as parent:
        parent.stdout.readline()
        sampler = UsageSampler(lambda: {"api": [parent.pid]})
        sampler.start()
        sampler.stop()
        parent.stdin.write(b"\n")
        parent.stdin.close()
    assert sampler.samples[-1].usage["api"].cpu_s >= 0.3


def test_a_look_before_a_process_ends_keeps_what_it_used_since_the_last_second() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()\n" + BURN + "input()"], stdin=-1, stdout=-1) as child:
        sampler = UsageSampler(lambda: {"generator": [child.pid]})
        sampler.start()
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        sampler.look()
        child.communicate(b"\n")
        sampler.stop()
    assert sampler.samples[-1].usage["generator"].cpu_s >= 0.3
    assert sorted(each.at_ns for each in sampler.samples) == [each.at_ns for each in sampler.samples]


def test_a_sampler_whose_start_was_interrupted_can_be_stopped() -> None:
    def interrupted() -> dict[str, list[int]]:
        raise KeyboardInterrupt

    sampler = UsageSampler(interrupted)
    with pytest.raises(KeyboardInterrupt):
        sampler.start()
    sampler.processes = dict
    sampler.stop()
    assert len(sampler.samples) == 1


def test_the_harness_itself_is_sampled() -> None:
    sampler = UsageSampler(dict)
    sampler.start()
    sampler.stop()
    assert sampler.samples[-1].usage["harness"].memory_bytes > 0
    assert len(sampler.samples) == 2
    assert os.getpid() not in sampler.samples[-1].process_cpu_s["generator"]


def test_the_offset_leads_from_the_monotonic_to_the_wall_clock() -> None:
    at_ns, offset_ns = clock_offset()
    before = time.time_ns()
    assert abs(at_ns + offset_ns - before) < 10**9


IDLE_FIRST_THREAD = """
import threading, time
def switch():
    while True:
        time.sleep(0.001)
threading.Thread(target=switch, daemon=True).start()
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel counts a process as a whole")
def test_the_switches_of_every_thread_count_and_not_only_the_first_one_s() -> None:
    with subprocess.Popen([sys.executable, "-c", IDLE_FIRST_THREAD], stdin=-1) as child:
        followed = Followed(["worker"])
        seen = -1
        deadline = time.monotonic() + 30
        while seen < 200 and time.monotonic() < deadline:
            followed.look({"worker": [child.pid]}, {})
            seen = followed.usage()["worker"][child.pid].context_switches or 0
            time.sleep(0.02)
        first_thread = psutil.Process(child.pid).num_ctx_switches()
        child.communicate(b"\n")
    assert seen >= 200
    assert first_thread.voluntary + first_thread.involuntary < 200


def test_user_and_system_time_are_counted_separately_and_disk_writes_too(tmp_path: Path) -> None:
    write = f"""
import os
with open({str(tmp_path / "file")!r}, "wb") as file:
    file.write(bytes(1 << 20))
    file.flush()
    os.fsync(file.fileno())
"""
    with subprocess.Popen([sys.executable, "-c", write + BURN + "input()"], stdin=-1, stdout=-1) as child:
        child.stdout.readline()
        followed = Followed(["worker"])
        followed.look({"worker": [child.pid]}, {})
        child.communicate(b"\n")
    usage = followed.usage()["worker"][child.pid]
    assert usage.cpu_user_s > 0
    assert usage.cpu_system_s > 0  # the disk, and asking for the time over and over
    assert usage.cpu_user_s + usage.cpu_system_s == usage.cpu_s >= 0.3
    assert usage.write_bytes is None or usage.write_bytes >= 1 << 20


def test_a_role_has_no_figure_that_one_of_its_processes_does_not_report() -> None:
    known, unknown = Usage(1.0, 0.5, 10, 20, 30, 40), Usage(1.0, 0.5, 10, None, None, 40)
    assert total([known, known]) == Usage(2.0, 1.0, 20, 40, 60, 80)
    assert total([known, unknown]) == Usage(2.0, 1.0, 20, None, None, 80)


def test_what_passes_between_processes_of_the_machine_is_counted() -> None:
    sampler = UsageSampler(dict)
    sampler.start()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(100_000))
            received = 0
            while received < 100_000:
                received += len(accepted.recv(65_536))
    sampler.stop()
    first, last = (each.machine.loopback_bytes for each in (sampler.samples[0], sampler.samples[-1]))
    if first is None or last is None:
        pytest.skip("this kernel does not count the loopback interface's bytes")
    assert last - first >= 100_000
