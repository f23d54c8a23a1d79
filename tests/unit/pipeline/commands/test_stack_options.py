"""The options that choose servers: what ``up`` and ``bench`` make of them, and where they refuse them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec import structs

from bench.__main__ import main as bench
from pipeline import settings as pipeline_settings
from pipeline.__main__ import main as pipeline
from pipeline.commands import up
from pipeline.errors import SettingError, UsageError
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Kafka, Settings

OWN = {"PIPELINE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "PIPELINE_MONGO_URI": "mongodb://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKERS", "COORDINATION", "MONGO_MEMBERS"):
        monkeypatch.delenv(f"PIPELINE_LOCAL_{name}", raising=False)
    for name in OWN:
        monkeypatch.delenv(name, raising=False)


def kafka_on(spec: StackSpec, environment: dict[str, str]) -> Kafka:
    """The settings of Kafka with which ``up`` makes topics on such a stack."""
    stack = SimpleNamespace(spec=spec, kafka_bootstrap_servers="here:1", mongo_uri="mongodb://here")
    return up._on(stack, pipeline_settings.load(environment), environment).kafka  # type: ignore[arg-type]


def test_bench_plans_for_the_servers_that_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["plan", "smoke", "--brokers", "3", "--mongo-members", "3", "--coordination", "zookeeper"]) == 0
    printed = capsys.readouterr().out
    assert "drain-p1-c1-b3-rf3-zookeeper-m3" in printed
    assert bench(["plan", "smoke"]) == 0
    assert "drain-p1-c1 " in capsys.readouterr().out


def test_the_settings_choose_servers_as_the_options_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_BROKERS", "3")
    assert bench(["plan", "smoke"]) == 0
    assert "drain-p1-c1-b3-rf3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--brokers", "2"], "brokers = 2 is an even number"),
        (["--mongo-members", "2"], "mongo_members = 2 is an even number"),
    ],
)
def test_bench_refuses_servers_that_cannot_be(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(["plan", "smoke", *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--brokers", "3"], ["--mongo-members", "3"], ["--coordination", "kraft"]])
def test_on_servers_of_the_user_s_own_the_options_are_an_error(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in OWN.items():
        monkeypatch.setenv(name, value)
    for command in (lambda: bench(["plan", "smoke", *options]), lambda: pipeline(["up", *options])):
        assert command() == 2
        assert f"{options[0]} can be chosen only for servers that are started here" in capsys.readouterr().err


def test_ceilings_of_one_stack_are_none_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["run", "replication", "--ceilings", "always", "--plain"]) == 2
    assert "--ceilings always cannot be used with 'replication'" in capsys.readouterr().err


def test_up_refuses_an_even_number_of_members(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline(["up", "--mongo-members", "2", "--api-port", "0", "--logs", str(tmp_path)]) == 2
    assert "mongo_members = 2 is an even number" in capsys.readouterr().err


def test_topics_of_up_have_the_copies_that_the_brokers_are_for() -> None:
    assert kafka_on(StackSpec(), {}).replication_factor == 1
    three = kafka_on(StackSpec(brokers=3), {})
    assert (three.replication_factor, three.min_insync_replicas) == (3, 2)


def test_the_copies_that_the_user_asks_for_are_kept_and_can_be_written() -> None:
    asked = kafka_on(StackSpec(brokers=3), {"PIPELINE_KAFKA_REPLICATION_FACTOR": "1"})
    assert (asked.replication_factor, asked.min_insync_replicas) == (1, 1)


def test_more_copies_than_brokers_are_refused_by_up() -> None:
    with pytest.raises(UsageError, match=r"PIPELINE_KAFKA_REPLICATION_FACTOR=5 cannot be used: .* needs 5 brokers"):
        kafka_on(StackSpec(brokers=3), {"PIPELINE_KAFKA_REPLICATION_FACTOR": "5"})


def test_more_copies_in_sync_than_copies_are_no_setting() -> None:
    with pytest.raises(SettingError, match="Kafka would accept no event"):
        pipeline_settings.load({"PIPELINE_KAFKA_MIN_INSYNC_REPLICAS": "2"})
    both = {"PIPELINE_KAFKA_MIN_INSYNC_REPLICAS": "2", "PIPELINE_KAFKA_REPLICATION_FACTOR": "3"}
    assert pipeline_settings.load(both).kafka.min_insync_replicas == 2


def dying(*alive: bool) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            name=f"kafka-{at}", returncode=-9, log_path="log", running=lambda up=up: up, last_words=lambda: ""
        )
        for at, up in enumerate(alive, start=1)
    ]


def test_up_goes_on_without_one_of_three_and_says_so_once() -> None:
    notes: list[str] = []
    reported: set[str] = set()
    display = SimpleNamespace(note=notes.append)
    for _ in range(3):
        up._look_at(dying(True, False, True), reported, display)  # type: ignore[arg-type]
    assert notes == ["kafka-2 died (exit code -9); the 2 others go on; see log"]


@pytest.mark.parametrize("alive", [(False,), (True, False, False)])
def test_up_ends_when_no_majority_is_left(alive: tuple[bool, ...]) -> None:
    display = SimpleNamespace(note=lambda _: None)
    with pytest.raises(up.ProcessFailedError, match="died"):
        up._look_at(dying(*alive), set(), display)  # type: ignore[arg-type]


def test_the_default_settings_know_nothing_of_several_servers() -> None:
    """What is passed to a child of an older revision has to be known there."""
    assert pipeline_settings.to_environment(structs.replace(Settings())) == {}
