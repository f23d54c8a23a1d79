"""Another system than Tidemark's, from a repeat to the report: what it does not report is said, and never shown as 0.

The system is a script that is no part of Tidemark (plain_server.py), behind the interface of bench/targets/target.py.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.errors import RepeatError
from bench.judge import derive
from bench.matrix import matrix
from bench.observe import environment
from bench.run import repeat, run
from bench.run.progress import Display
from bench.run.repeatspec import RepeatSpec
from bundle import writing
from bundle.errors import BundleError
from bundle.reading import load
from bundle.reported import NOT_REPORTED
from bundle.result import Result
from pipeline.errors import UsageError
from pipeline.settings import Kafka, Mongo, Settings
from reports.__main__ import main as report
from tests.integration.bench.plain_target import plain
from traffic.spec import Traffic

CELL = CellSpec(id="steady", kind="steady", partitions=1, warmup_s=0.5, duration_s=2.0, offered_load=300.0)
MATRIX = """
name = "plain"
seed = 1
rounds = 1

[[cells]]
kind = "steady"
offered_load = 200
warmup_s = 1
duration_s = 4
"""


@pytest.fixture
def own_settings(servers) -> Settings:
    return Settings(kafka=Kafka(bootstrap_servers=servers.kafka_bootstrap_servers), mongo=Mongo(uri=servers.mongo_uri))


@pytest.fixture
def to_run(own_settings: Settings) -> RepeatSpec:
    return RepeatSpec(
        identity=derive.RepeatIdentity(CELL, 1, 1, 23, writing.now(), 300.0),
        name=f"t{secrets.token_hex(6)}",
        settings=own_settings,
        server_pids={},
        traffic=Traffic(),
        seed=1,
        bounds=Bounds(disturbed_share=1.0),
        objective=Objective(delivery_latency_p99_ms=500.0),
        system=plain(),
    )


def measure(to_run: RepeatSpec, folder: Path) -> Result:
    (folder / "logs").mkdir(parents=True)
    with Display(plain=True) as display:
        return asyncio.run(repeat.run(to_run, folder, display))


def of_accounting(reasons: tuple[str, ...]) -> list[str]:
    """Those that no busy machine explains."""
    return [each for each in reasons if each.startswith(("accounting:", "witness:", "stages:", "drain:"))]


def test_what_a_system_does_not_report_is_named_and_the_rest_is_measured(to_run: RepeatSpec, tmp_path: Path) -> None:
    result = measure(to_run, tmp_path / "repeat")
    assert of_accounting(result.reasons) == []
    assert result.not_reported == ("stamps", "backlog")
    audit = result.audit
    assert audit.offered > 500
    assert audit.accepted == audit.stored_accepted == audit.compared
    assert (audit.lost, audit.stored_twice, audit.foreign, audit.differing) == (0, 0, 0, 0)
    assert result.response_time_ms is not None
    assert result.response_time_ms.max is not None
    assert (result.throughput_events_per_s, result.delivery_latency_ms, result.stages_ms) == (None, None, None)
    assert (result.achieved, result.keeping_up, result.witness, result.consumers) == (None, None, None, ())
    assert result.cpu_s_per_role["shop"] > 0
    assert not {"api", "worker"} & set(result.cpu_s_per_role)
    assert f"objective not shown: delivery latency is {NOT_REPORTED}" in result.findings


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "found"), [("forgets", "1 accepted and then lost"), ("twice", "1 stored twice")])
def test_the_audit_sees_by_its_documents_what_another_system_did_wrong(
    to_run: RepeatSpec, tmp_path: Path, fault: str, found: str
) -> None:
    result = measure(replace(to_run, system=plain(fault)), tmp_path / "repeat")
    assert of_accounting(result.reasons) == []
    assert any(each.startswith(found) for each in result.findings), result.findings


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("dies", r"plain ended with exit code 1; see .*the licence has expired"),
        ("hangs", r"plain did not take events within 2 s"),
    ],
)
def test_a_system_that_is_never_ready_is_named_and_leaves_nothing(
    to_run: RepeatSpec, tmp_path: Path, fault: str, message: str
) -> None:
    with pytest.raises(RepeatError, match=f"(?s){message}"):
        measure(replace(to_run, system=plain(fault)), tmp_path / "repeat")


@pytest.mark.slow
def test_a_system_that_ignores_sigterm_is_killed_and_named(to_run: RepeatSpec, tmp_path: Path) -> None:
    result = measure(replace(to_run, system=plain("deaf")), tmp_path / "repeat")
    crash = (
        "crash: plain ended with exit code -9, killed after 1.5 s because it did not end on SIGTERM, see logs/plain.log"
    )
    assert crash in result.findings


def test_a_cell_that_needs_timestamps_is_refused_before_anything_starts(own_settings: Settings, tmp_path: Path) -> None:
    with (
        Display(plain=True) as display,
        pytest.raises(UsageError, match=f"plain cannot be measured in drain.*{NOT_REPORTED}"),
    ):
        run.execute(
            matrix.load("smoke"),
            out_dir=tmp_path,
            display=display,
            environment=environment.describe(),
            settings=own_settings,
            local=False,
            command="command",
            system=plain(),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_of_another_system_ends_in_a_report_that_says_what_is_not_reported(
    own_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.toml").write_text(MATRIX)
    wanted = matrix.load(str(tmp_path / "plain.toml"), nodes=1, stack=None)
    wanted = structs.replace(wanted, bounds=structs.replace(wanted.bounds, disturbed_share=1.0))
    with Display(plain=True) as display:
        outcome = run.execute(
            wanted,
            out_dir=tmp_path / "runs",
            display=display,
            environment=environment.describe(),
            settings=own_settings,
            local=False,
            command="./tidemark bench plain",
            ceilings="never",
            when_busy="go-on",
            system=plain(),
        )
    assert load(outcome.run_dir).manifest.system == "plain"
    report([str(outcome.run_dir)])
    page = (outcome.run_dir / "report.html").read_text()
    for what in (
        "Stages of delivery latency: ",
        "Backlog: ",
        "Delivery latency: ",
        "The moments that a witness would be held against: ",
        "stages and the lag of event loops: ",
    ):
        assert what + NOT_REPORTED in page, what
    assert "plain was measured. Stored events a second, delivery latency, " in page
    assert NOT_REPORTED in (outcome.run_dir / "summary.md").read_text()
    capsys.readouterr()
    with Display(plain=True) as display, pytest.raises(BundleError, match="began with the system plain"):
        run.resume(outcome.run_dir, display=display, settings=own_settings, local=False)
