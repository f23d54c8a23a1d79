"""Sampling: what processes use is seen, and stays counted when they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.sampling import Sampler, clock_offset

BURN = (
    "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('done', flush=True)\n"
)


def test_a_process_that_ended_keeps_what_it_used_and_holds_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN + "input()"], stdin=-1, stdout=-1) as child:
        sampler = Sampler(lambda: {"worker": [child.pid]})
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
        sampler = Sampler(lambda: {"api": [parent.pid]})
        sampler.start()
        sampler.stop()
        parent.stdin.write(b"\n")
        parent.stdin.close()
    assert sampler.samples[-1].usage["api"].cpu_s >= 0.3


def test_the_harness_itself_is_sampled() -> None:
    sampler = Sampler(dict)
    sampler.start()
    sampler.stop()
    assert sampler.samples[-1].usage["harness"].memory_bytes > 0
    assert len(sampler.samples) == 2
    assert os.getpid() not in sampler.samples[-1].process_cpu_s["generator"]


def test_the_offset_leads_from_the_monotonic_to_the_wall_clock() -> None:
    at_ns, offset_ns = clock_offset()
    before = time.time_ns()
    assert abs(at_ns + offset_ns - before) < 10**9
