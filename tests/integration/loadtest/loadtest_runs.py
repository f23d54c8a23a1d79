"""How the tests of the load test start Locust, and what they read of it afterwards."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.integration.loadtest.loadtest_target import Target
from traffic import identity
from traffic.ledger import Ledger, Outcome, path_of, read

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")


def command(target: Target | None, *arguments: str) -> list[str]:
    host = ["--host", target.url] if target else []
    return [sys.executable, "-m", "locust", "-f", "loadtest", *host, *arguments]


def run(target: Target, *arguments: str, code: int = 0) -> str:
    """Run to the end without UI; return what was printed."""
    done = subprocess.run(
        command(target, "--headless", "--spawn-rate", "1000", *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def start(*arguments: str, target: Target | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(target, *arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ledgers(folder: Path, count: int = 1) -> list[Ledger]:
    found = [read(path_of(folder, stream)) for stream in range(count)]
    assert len(list(folder.glob("ledger-*.log"))) == count
    return found


def events_with(ledger: Ledger, *outcomes: Outcome) -> list[int]:
    """The packed identities of all events with one of these outcomes."""
    run_number = ledger.head.spec.run
    return [
        identity.pack(run_number, ledger.head.index, int(row["first"]) + each)
        for row in ledger.records
        if row["outcome"] in outcomes
        for each in range(int(row["count"]))
    ]


def check_whole(ledger: Ledger) -> None:
    """Identity 1, event by event: every sequence once, as many as were offered."""
    assert ledger.tail is not None
    sequences = [identity.unpack(each).sequence for each in events_with(ledger, *Outcome)]
    assert sorted(sequences) == list(range(ledger.tail.offered))
    assert ledger.tail.records == len(ledger.records)


def wait_for(what: Callable[[], T | None], timeout_s: float = 30) -> T:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that in time")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
