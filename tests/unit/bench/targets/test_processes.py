"""The processes of a target: what goes wrong with one names it, and nothing is waited for without a bound."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from bench.errors import RepeatError
from bench.targets import processes
from pipeline.local.process import ChildProcess

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def child(folder: Path, name: str, code: str) -> ChildProcess:
    return ChildProcess(name, [sys.executable, "-c", code], log_path=folder / f"{name}.log").start()


async def test_a_process_that_ends_before_it_answers_is_named_with_its_last_lines(tmp_path: Path) -> None:
    shop = child(tmp_path, "shop", "import sys; sys.exit('no licence')")
    with pytest.raises(RepeatError, match=r"(?s)shop ended with exit code 1; see .*no licence"):
        await processes.answers(shop, "http://127.0.0.1:1/health", within_s=30)


async def test_a_process_that_never_answers_is_waited_for_in_bounded_time_and_named(tmp_path: Path) -> None:
    with (
        child(tmp_path, "shop", "import time; time.sleep(60)") as shop,
        pytest.raises(RepeatError, match="shop did not take events within 0 s"),
    ):
        await processes.answers(shop, "http://127.0.0.1:1/health", within_s=0.2)


def test_only_an_orderly_end_of_a_process_is_no_finding(tmp_path: Path) -> None:
    dead = child(tmp_path, "dead", "pass")
    dead.wait(20)
    deaf = child(tmp_path, "deaf", DEAF)
    deaf.wait_for_line("deaf", 20)
    good = child(tmp_path, "good", DEAF.replace("signal.SIG_IGN", "lambda *_: exit(0)"))
    good.wait_for_line("deaf", 20)
    began_s = time.monotonic()
    found = processes.end([dead, deaf, good], grace_s=1)
    assert time.monotonic() - began_s < 20
    assert found == [
        "crash: dead ended with exit code 0, see logs/dead.log",
        "crash: deaf ended with exit code -9, killed after 1 s because it did not end on SIGTERM, see logs/deaf.log",
    ]
