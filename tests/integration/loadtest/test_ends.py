"""How a load test ends: always, with counts and files that equal the ledger, and an exit code that fits its words."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.loadtest.loadtest_runs import (
    ROOT,
    check_whole,
    command,
    events_with,
    free_port,
    ledgers,
    run,
    start,
    wait_for,
)
from tests.integration.loadtest.loadtest_target import Behaviour, Target
from traffic.ledger import Outcome

# Only what would never end takes so long.
END_S = 100.0


@contextmanager
def running(target: Target, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Locust in a process group of its own, as a terminal gives it one; killed as a whole in the end."""
    process = subprocess.Popen(
        command(target, *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def distributed(target: Target, folder: Path, workers: int) -> Iterator[list[subprocess.Popen]]:
    """A master that expects two workers for 60 s of load, and so many of them."""
    port = str(free_port())
    master = ("--headless", "--master", "--master-bind-port", port, "--expect-workers", "2", "--duration", "60")
    with running(target, *master, "--ledger", str(folder), "--expect-workers-max-wait", "8") as first:
        others = [start("--worker", "--master-port", port) for _ in range(workers)]
        try:
            yield [first, *others]
        finally:
            for other in others:
                other.kill()
                other.wait()


def offered_in(printed: str) -> int:
    found = re.search(r"([\d,]+) events offered in", printed)
    assert found, printed
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_master_whose_workers_are_all_gone_ends_and_says_so(tmp_path: Path, how: signal.Signals) -> None:
    with Target() as target, distributed(target, tmp_path, 2) as (master, *workers):
        wait_for(lambda: len(target.served) > 40)
        for worker in workers:
            worker.send_signal(how)
        printed, _ = master.communicate(timeout=END_S)
    assert master.returncode == 3
    assert "NOT WHOLE: no process reports any more" in printed
    # What they had reported is not forgotten.
    assert 0 < offered_in(printed) <= len(target.tidemarks) + 1_000


@pytest.mark.slow
def test_workers_that_were_silent_for_a_while_end_the_test_that_locust_stopped(tmp_path: Path) -> None:
    with Target() as target, distributed(target, tmp_path, 2) as (master, *workers):
        wait_for(lambda: len(target.served) > 40)
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        time.sleep(8)
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        printed, _ = master.communicate(timeout=END_S)
    assert master.returncode == 3
    assert "NOT WHOLE" in printed


def test_a_master_whose_workers_do_not_come_ends_and_says_how_many_came(tmp_path: Path) -> None:
    with Target() as target, distributed(target, tmp_path, 1) as (master, _):
        printed, _ = master.communicate(timeout=END_S)
    assert master.returncode == 3
    assert "2 processes were expected (--expect-workers) and 1 were connected after 8 s" in printed
    assert "NOT WHOLE" in printed


@pytest.mark.slow
def test_a_test_whose_worker_is_asked_to_end_is_reported_as_incomplete(tmp_path: Path) -> None:
    with Target() as target, distributed(target, tmp_path, 2) as (master, *workers):
        wait_for(lambda: len(target.served) > 40)
        for worker in workers:
            worker.terminate()
        printed, _ = master.communicate(timeout=END_S)
    assert master.returncode == 3
    assert "was stopped before the end of the test" in printed
    found = ledgers(tmp_path, 2)
    assert offered_in(printed) == sum(len(events_with(each, *Outcome)) for each in found)


@pytest.mark.slow  # its time-outs take half a minute
def test_a_stopped_child_does_not_keep_the_command_from_ending(tmp_path: Path) -> None:
    with (
        Target() as target,
        running(target, "--headless", "--processes", "2", "--duration", "60", "--ledger", str(tmp_path)) as process,
    ):
        wait_for(lambda: len(target.served) > 40)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=END_S)
    assert process.returncode == 3
    assert "NOT WHOLE" in printed


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_ctrl_c_keeps_the_true_counts_and_files(tmp_path: Path, processes: tuple[str, ...]) -> None:
    options = ("--headless", *processes, "--duration", "60", "--offered-load", "3000")
    files = ("--ledger", str(tmp_path / "ledger"), "--csv", str(tmp_path / "all"), "--html", str(tmp_path / "all.html"))
    with Target() as target, running(target, *options, *files) as process:
        wait_for(lambda: len(target.served) > 100)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        printed, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0, printed
    assert "NOT WHOLE" not in printed
    found = ledgers(tmp_path / "ledger", 2 if processes else 1)
    for ledger in found:
        check_whole(ledger)
    assert offered_in(printed) == sum(len(events_with(each, *Outcome)) for each in found)
    requests = sum(len(each.records) for each in found)
    assert csv_requests(tmp_path / "all_stats.csv") == requests
    assert html_requests(tmp_path / "all.html") == requests


def test_ctrl_c_counts_requests_without_an_answer_in_files_and_exit_code_too(tmp_path: Path) -> None:
    options = ("--headless", "--scenario", "visitors", "--offered-load", "50", "--request-timeout", "60")
    with (
        Target(Behaviour(stall_at=30, stall_s=30)) as target,
        running(target, *options, "--csv", str(tmp_path / "all")) as process,
    ):
        wait_for(lambda: len(target.served) > 60)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=END_S)
    in_doubt = re.search(r"in doubt ([\d,]+)", printed)
    assert in_doubt, printed
    assert int(in_doubt[1]) > 20
    assert process.returncode == 1
    assert csv_requests(tmp_path / "all_stats.csv") == offered_in(printed)
    assert int(rows(tmp_path / "all_stats.csv")[-1]["Failure Count"]) == int(in_doubt[1])


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
@pytest.mark.parametrize("load", [("10", "1"), pytest.param(("40000", "3"), marks=pytest.mark.slow)])
def test_csv_html_and_json_equal_the_ledger(tmp_path: Path, processes: tuple[str, ...], load: tuple[str, str]) -> None:
    with Target() as target:
        done = subprocess.run(
            command(
                target,
                *("--headless", "--scenario", "sdk", "--offered-load", load[0], "--duration", load[1], *processes),
                *("--batch-min", "1", "--batch-max", "2" if load[0] == "10" else "500", "--spawn-rate", "1000"),
                *("--ledger", str(tmp_path / "ledger"), "--csv", str(tmp_path / "all")),
                *("--html", str(tmp_path / "all.html"), "--json", "--json-file", str(tmp_path / "all")),
            ),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    requests = sum(len(each.records) for each in ledgers(tmp_path / "ledger", 2 if processes else 1))
    assert requests > 3
    assert csv_requests(tmp_path / "all_stats.csv") == requests
    assert int(rows(tmp_path / "all_stats_history.csv")[-1]["Total Request Count"]) == requests
    assert html_requests(tmp_path / "all.html") == requests
    for text in (done.stdout, (tmp_path / "all.json").read_text()):  # nothing but JSON on stdout
        assert sum(each["num_requests"] for each in json.loads(text) if "(service" not in each["name"]) == requests
    assert f"in {requests:,} requests" in done.stderr


def test_json_that_locust_writes_holds_no_nan_and_no_infinity(tmp_path: Path) -> None:
    with Target() as target:
        run(target, "--offered-load", "0.1", "--duration", "1", "--json-file", str(tmp_path / "all"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "all.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("processes", [(), pytest.param(("--processes", "2"), marks=pytest.mark.slow)])
def test_autostart_with_autoquit_quits_after_the_duration(tmp_path: Path, processes: tuple[str, ...]) -> None:
    options = ("--autostart", "--autoquit", "1", "--duration", "2", "--web-port", str(free_port()), *processes)
    with Target() as target, running(target, *options, "--ledger", str(tmp_path)) as process:
        printed, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0, printed
    found = ledgers(tmp_path, 2 if processes else 1)
    assert offered_in(printed) == sum(len(events_with(each, *Outcome)) for each in found) > 0


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def csv_requests(path: Path) -> int:
    (total,) = (each for each in rows(path) if each["Name"] == "Aggregated")
    return int(total["Request Count"])


def html_requests(path: Path) -> int:
    """The number of requests in the data of Locust's page, whose last entry is the aggregate."""
    found = re.search(r'"requests_statistics": (\[.*?\])', path.read_text())
    assert found
    (total,) = (each for each in json.loads(found[1]) if each["name"] == "Aggregated")
    return int(total["num_requests"])
