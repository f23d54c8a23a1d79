"""A machine that others use: it is seen, they are named, and what was asked for is done about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from bench.errors import BusyError
from bench.experiments import perf
from bench.matrix import matrix
from bench.observe import benchlock, busy, environment
from bench.observe.busy import Busy, is_of_machine
from bench.observe.programs import Programs, name_of
from bench.run import execution, manifest, plan
from bench.run.progress import Display
from bench.run.ready import Ahead
from bench.targets.servers import Servers
from bench.words import culprits
from bundle import writing
from bundle.result import Disturbance, Program, Result
from pipeline.settings import Settings

ROOT = Path(__file__).parents[4]
QUIET = Disturbance(0.02, 0.0)
LOUD = Disturbance(0.9, 0.05, [Program("burn", 0.6), Program("node server.js", 0.2)])
OF_MACHINE = ["machine: other programs used 90% of its CPU"]


class Machine:
    """What is seen at each look, the last one for ever; what was said and noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seen: Disturbance) -> None:
        self.seen = list(seen)
        self.looks = 0
        self.said: list[str] = []
        self.noted: list[str] = []

        async def look(_: float) -> Disturbance:
            self.looks += 1
            return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]

        monkeypatch.setattr(busy, "look", look)

    def busy(self, when: busy.WhenBusy, **bounds: float) -> Busy:
        return Busy(when, 0.25, self.said.append, lambda _, then: self.noted.append(then), look_s=0.0, **bounds)


def result(*, valid: bool = False, reasons: list[str] = OF_MACHINE, seen: Disturbance | None = LOUD) -> Result:
    return Result(
        cell="drain-p1-c1",
        kind="drain",
        axes={},
        round=1,
        attempt=1,
        run_number=1,
        started_at="",
        valid=valid,
        reasons=[] if valid else reasons,
        findings=[],
        disturbance=seen,
    )


def test_a_quiet_machine_is_measured_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, QUIET)
    asyncio.run(machine.busy("stop").before_all())
    assert machine.said == machine.noted == []


def test_what_is_over_at_the_second_look_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD, QUIET)
    asyncio.run(machine.busy("stop").before_all())
    assert machine.looks == 2


def test_a_busy_machine_stops_the_run_with_exit_code_4_and_names_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD)
    with pytest.raises(BusyError, match=r"95% of its CPU.*burn 60%, node server.js 20%") as stopped:
        asyncio.run(machine.busy("stop").before_all())
    assert stopped.value.exit_code == 4
    assert machine.noted == ["stopped"]


def test_going_on_is_noted_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD)
    asyncio.run(machine.busy("go-on").before_all())
    assert machine.noted == ["went on"]
    assert len(machine.said) == 2


def test_waiting_ends_when_the_machine_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD, LOUD, LOUD, QUIET)
    asyncio.run(machine.busy("wait").before_all())
    assert machine.noted == ["waited"]
    assert "for at most 30 minutes" in machine.said[1]


def test_waiting_has_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD)
    with pytest.raises(BusyError, match="not quiet within"):
        asyncio.run(machine.busy("wait", most_wait_s=0.05).before_all())
    assert machine.noted == ["stopped"]


@pytest.mark.parametrize(
    ("typed", "noted"), [("w", "waited"), ("huh\ng", "went on"), ("s", "stopped"), (None, "stopped")]
)
def test_at_a_terminal_it_asks_and_no_answer_is_stop(
    monkeypatch: pytest.MonkeyPatch, typed: str | None, noted: str
) -> None:
    machine = Machine(monkeypatch, LOUD, LOUD, QUIET)
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(busy, "at_terminal", lambda: True)
        if typed is not None:
            terminal.write(f"{typed}\n")
            terminal.flush()
        with contextlib.suppress(BusyError):
            asyncio.run(machine.busy("ask", answer_s=1.0).before_all())
    assert machine.noted == [noted]


def test_where_nobody_can_be_asked_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, LOUD)
    monkeypatch.setattr(busy, "at_terminal", lambda: False)
    with pytest.raises(BusyError):
        asyncio.run(machine.busy("ask").before_all())
    assert machine.said == []


def test_nobody_can_be_asked_by_a_stream_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not busy.at_terminal()


def run_of_one_drain(folder: Path, monkeypatch: pytest.MonkeyPatch, asked: Busy, *reasons: list[str]) -> execution.Run:
    """Return a run of one repeat, of which each attempt is void for the next of these reasons."""
    left = list(reasons)

    async def measured(*_: object) -> tuple[Path, Result]:
        number = len(run.attempts(order[0])) + 1
        judged = structs.replace(result(reasons=left.pop(0)), cell=order[0].cell.id, attempt=number)
        return run.bundle.start_repeat(order[0].cell.id, 1, number), judged

    wanted = matrix.parse('name = "mine"\nrounds = 1\n[[cells]]\nkind = "drain"\n', "mine.toml")
    order = plan.order(wanted)
    into = writing.create(folder, "mine")
    began = manifest.begin(
        wanted, order, run_id="mine", environment=environment.describe(), servers="local", command="", started_at=""
    )
    run = execution.Run(into, began, wanted, order, Display(plain=True), Settings(), local=True, busy=asked)
    run.display.begin(order, (), into.path)
    monkeypatch.setattr(execution, "_measured", measured)
    return run


def test_a_repeat_prepared_before_a_wait_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Machine(monkeypatch, LOUD, QUIET)
    dropped: list[int] = []

    class LetGo(Ahead):
        async def drop(self) -> None:
            dropped.append(here.looks)

    run = run_of_one_drain(tmp_path, monkeypatch, here.busy("wait"), OF_MACHINE, OF_MACHINE)
    planned = run.order[0]
    started = Servers(Settings(), {}, {})
    then = execution.Next([run], [], started, LetGo())

    async def attempts() -> None:
        await execution.attempt(run, planned, execution.Offer(), started, then)
        assert dropped == []
        await execution.attempt(run, planned, execution.Offer(), started, then)

    asyncio.run(attempts())
    assert here.noted == ["waited"]
    assert dropped == [here.looks]


def test_nothing_is_asked_after_the_last_attempt_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Machine(monkeypatch, LOUD)
    reasons = (["drain: the backlog was not gone"], OF_MACHINE, OF_MACHINE)
    run = run_of_one_drain(tmp_path, monkeypatch, here.busy("stop"), *reasons)

    async def attempts() -> None:
        for _ in reasons:
            await execution.attempt(run, run.order[0], execution.Offer(), Servers(Settings(), {}, {}))

    asyncio.run(attempts())
    assert execution.is_done(run, run.order[0])
    assert here.noted == []


def test_after_two_void_attempts_in_a_row_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempts() -> None:
        one = Machine(monkeypatch, QUIET).busy("stop")
        assert not await one.after(result())
        assert not await one.after(result(valid=True))
        assert not await one.after(result())
        with pytest.raises(BusyError, match="2 attempts in a row are void"):
            await one.after(result())

    asyncio.run(attempts())


@pytest.mark.parametrize(
    ("judged", "of_machine"),
    [
        (result(), True),
        (result(reasons=["generator: schedule delay p99 30.0 ms > 10 ms"]), True),
        (result(reasons=["generator: schedule delay p99 30.0 ms > 10 ms"], seen=QUIET), False),
        (result(reasons=["drain: the backlog was not gone"]), False),
        (result(seen=None), False),
    ],
)
def test_what_the_system_did_is_not_blamed_on_the_machine(judged: Result, of_machine: bool) -> None:  # noqa: FBT001 - pytest's way
    assert is_of_machine(judged) is of_machine


@pytest.mark.parametrize(
    ("name", "command", "shown"),
    [
        ("python3", ["python3", "/srv/secret/burn.py", "--password=x"], "python3 burn.py"),
        ("python3.11", ["python3.11", "-P", "-m", "pytest", "tests"], "python3.11 -m pytest"),
        ("python", ["python", "-c", "print('secret')"], "python -c"),
        ("java", ["java", "-Xmx1g", "-cp", "/a.jar:/b.jar", "kafka.Kafka", "server.properties"], "java kafka.Kafka"),
        ("mongod", ["mongod", "--keyFile", "/secret"], "mongod"),
        ("kworker/0:1", [], "kworker/0:1"),
        ("evil\x1b[2J", [], "evil?[2J"),
    ],
)
def test_a_program_is_named_by_what_it_runs_and_never_by_its_arguments(
    name: str, command: list[str], shown: str
) -> None:
    assert name_of(name, command) == shown


BURN = (
    "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(flush=True)\ninput()\n"
)


def test_what_another_process_uses_is_found_under_its_name_and_what_ours_use_is_not(tmp_path: Path) -> None:
    script = tmp_path / "burning.py"
    script.write_text(BURN)
    of_all, of_others = Programs(), Programs()
    of_all.look({os.getpid()})
    with subprocess.Popen([sys.executable, str(script)], stdin=-1, stdout=-1) as child:
        of_others.look({os.getpid(), child.pid})
        child.stdout.readline()
        used, of_those = of_all.look({os.getpid()}), of_others.look({os.getpid(), child.pid})
        child.communicate(b"\n")
    assert max(cpu_s for name, cpu_s in used.items() if name.endswith("burning.py")) >= 0.3
    assert not any(name.endswith("burning.py") for name in of_those)


def test_nobody_is_named_who_used_nothing() -> None:
    assert culprits(Disturbance(0.0, 0.0)) == ""
    assert culprits(structs.replace(LOUD, stolen=0.1)).endswith("others 10%, the host of this virtual machine 10%")


HOLD = """
import sys, time
from bench.observe.benchlock import only_one
with only_one("runs/first", "stop", print):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Another bench, in a process of its own, that holds this machine's lock."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=-1, env=environment) as held:
        assert held.stdout
        assert held.stdout.readline() == b"held\n"
        yield held
        held.kill()


def test_a_second_bench_says_who_has_the_machine_and_does_not_start_beside_it(other: subprocess.Popen[bytes]) -> None:
    with (
        pytest.raises(BusyError, match=f"process {other.pid}, runs/first"),
        benchlock.only_one("runs/second", "stop", print),
    ):
        pytest.fail("both run")


def test_perf_times_no_steps_beside_a_bench(other: subprocess.Popen[bytes]) -> None:
    with pytest.raises(BusyError, match=f"process {other.pid}, runs/first"):
        perf.timed(perf.Against("HEAD", "", (), worthwhile=True), 1, (), Console(), "stop")


@pytest.mark.parametrize("when", ["wait", "ask"])
def test_a_second_bench_waits_and_begins_when_the_first_was_killed(
    other: subprocess.Popen[bytes], when: busy.WhenBusy
) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        other.send_signal(signal.SIGKILL)

    with benchlock.only_one("runs/second", when, say):
        assert "waiting for it, for at most 30 minutes" in said[0]
        assert f"process {os.getpid()}, runs/second" in benchlock.lock_path().read_text()


def test_a_second_bench_does_not_wait_for_ever(other: subprocess.Popen[bytes]) -> None:  # noqa: ARG001 - it is there
    with pytest.raises(BusyError, match="did not end within"), benchlock.only_one("x", "wait", print, most_wait_s=0.1):
        pytest.fail("both run")


def test_a_second_bench_that_is_to_go_on_goes_on_beside_it(other: subprocess.Popen[bytes]) -> None:
    said: list[str] = []
    with benchlock.only_one("runs/second", "go-on", said.append):
        assert "going on beside it" in said[0]
    assert f"process {other.pid}" in benchlock.lock_path().read_text()
