"""What the local stack may be made of, and which settings its servers get."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.local import brokerconfig, kafkasettings, mongodb, ports, stackspec
from pipeline.local.brokerconfig import Cluster, Node
from pipeline.local.jars import kafka_jars, read_pins
from pipeline.local.launch import Launch
from pipeline.local.mongodb import ReplicaSetMember
from pipeline.local.ports import Claims
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Local


def cluster_of(spec: StackSpec) -> Cluster:
    nodes = tuple(Node(each, 9000 + each, 9100 + each, Path(f"kafka-{each}")) for each in range(1, spec.brokers + 1))
    return Cluster(spec, "an-id", nodes, zookeeper_port=2181 if spec.zookeeper else 0)


def properties_of(spec: StackSpec, number: int = 1) -> dict[str, str]:
    """The configuration of one broker of the stack."""
    cluster = cluster_of(spec)
    return brokerconfig.properties(cluster, cluster.nodes[number - 1])


def test_the_settings_by_default_ask_for_the_smallest_stack() -> None:
    assert stackspec.from_settings(Local()) == StackSpec()
    assert StackSpec().words() == "1 broker (KRaft), 1 mongod"


def test_one_broker_keeps_one_copy_of_everything() -> None:
    alone = properties_of(StackSpec())
    assert alone["controller.quorum.voters"] == "1@127.0.0.1:9101"
    assert alone["offsets.topic.replication.factor"] == "1"
    assert "min.insync.replicas" not in alone


def test_three_brokers_keep_three_copies_of_which_two_have_to_be_written() -> None:
    third = properties_of(StackSpec(brokers=3), 3)
    assert third["node.id"] == "3"
    assert third["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"
    assert (third["default.replication.factor"], third["min.insync.replicas"]) == ("3", "2")
    assert third["offsets.topic.replication.factor"] == third["transaction.state.log.replication.factor"] == "3"


def test_five_brokers_keep_three_copies() -> None:
    assert StackSpec(brokers=5).replication == 3


def test_with_zookeeper_a_broker_has_no_role_and_no_setting_of_kraft_s() -> None:
    second = properties_of(StackSpec(brokers=3, coordination="zookeeper"), 2)
    assert second["broker.id"] == "2"
    assert second["zookeeper.connect"] == "127.0.0.1:2181"
    assert not [name for name in second if name.startswith(("process.", "controller.", "node.", "share."))]


@pytest.mark.parametrize("coordination", ["kraft", "zookeeper"])
def test_a_broker_knows_every_setting_that_it_is_given(coordination: stackspec.Coordination) -> None:
    spec = StackSpec(brokers=3, coordination=coordination)
    assert properties_of(spec).keys() <= kafkasettings.known(spec.kafka_version)


def test_a_setting_that_is_given_replaces_ours() -> None:
    given = stackspec.given({"num.io.threads": 2, "group.initial.rebalance.delay.ms": 0, "log.preallocate": True})
    broker = properties_of(StackSpec(kafka=given))
    assert broker["num.io.threads"] == "2"
    assert broker["group.initial.rebalance.delay.ms"] == "0"
    assert broker["log.preallocate"] == "true"


def test_a_parameter_that_is_given_replaces_ours(tmp_path: Path) -> None:
    process = mongodb.prepare(
        mongod=Path("mongod"),
        member=ReplicaSetMember(1, 27017, tmp_path / "data"),
        name="mongod",
        launch=Launch(tmp_path),
        parameters=stackspec.given({"diagnosticDataCollectionEnabled": True, "ttlMonitorEnabled": False}),
    )
    said = [text for text in process._argv if "=" in text]
    assert "diagnosticDataCollectionEnabled=true" in said
    assert "diagnosticDataCollectionEnabled=false" not in said
    assert "ttlMonitorEnabled=false" in said


def test_one_mongod_is_connected_directly_and_several_as_a_replica_set() -> None:
    assert mongodb.uri(1) == "mongodb://127.0.0.1:1/?directConnection=true"
    assert mongodb.uri(1, 2, 3) == "mongodb://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/?replicaSet=rs0"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (StackSpec(brokers=2), "brokers = 2 is an even number"),
        (StackSpec(mongo_members=4), "mongo_members = 4 is an even number"),
        (StackSpec(kafka=(("num.io.thread", 2),)), "did you mean 'num.io.threads'?"),
        (StackSpec(kafka=(("listeners", "x"),)), "'listeners' is not yours to set: where a broker listens"),
        (StackSpec(kafka=(("listener.name.x.ssl.key.password", "x"),)), "not yours to set"),
        (StackSpec(kafka=(("zookeeper.connect", "x"),)), "axis coordination"),
        (StackSpec(mongod=(("net.port", 1),)), "'net.port' is no parameter of mongod"),
    ],
)
def test_a_stack_that_cannot_be_is_refused_before_anything_starts(spec: StackSpec, words: str, tmp_path: Path) -> None:
    (problem,) = stackspec.problems(spec)
    assert words in problem
    with pytest.raises(UsageError, match="the servers cannot be started so"):
        LocalStack(Local(), logs_dir=tmp_path / "logs", spec=spec).start()
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    "spec", [StackSpec(brokers=3, mongo_members=5), StackSpec(brokers=2, coordination="zookeeper")]
)
def test_odd_numbers_are_taken_and_zookeeper_takes_any_number_of_brokers(spec: StackSpec) -> None:
    assert not list(stackspec.problems(spec))


def test_more_copies_than_brokers_are_refused_with_both_remedies() -> None:
    assert not stackspec.copies_problem(3, 3)
    assert "brokers = 3, or replication = 1" in stackspec.copies_problem(3, 1)


def test_more_copies_in_sync_than_there_are_would_refuse_every_event() -> None:
    assert not stackspec.in_sync_problem(2, 3)
    assert "no event could be accepted" in stackspec.in_sync_problem(3, 2)


@pytest.mark.parametrize("version", [kafkasettings.VERSION, kafkasettings.VERSION_WITH_ZOOKEEPER])
def test_what_is_ours_is_a_setting_of_kafka_s(version: str) -> None:
    """A name that no version knows is misspelt: it would protect nothing."""
    every = kafkasettings.known(kafkasettings.VERSION) | kafkasettings.known(kafkasettings.VERSION_WITH_ZOOKEEPER)
    assert set(kafkasettings.OWN) <= every
    assert "num.io.threads" in kafkasettings.known(version)


def test_the_jars_of_the_version_with_zookeeper_are_pinned_once_and_log() -> None:
    pins = read_pins(Path(kafkasettings.__file__).with_name(f"kafka-{kafkasettings.VERSION_WITH_ZOOKEEPER}.sha256"))
    names = [each.file_name for each in pins]
    assert len(set(names)) == len(names)
    versions = {each.artifact: each.version for each in pins}
    assert versions["kafka_2.13"] == kafkasettings.VERSION_WITH_ZOOKEEPER
    assert versions["zookeeper"] == "3.8.4"
    assert versions["slf4j-reload4j"] == versions["slf4j-api"], "brokers' logs would be silent otherwise"


def test_the_jars_of_each_version_have_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.jars._fetch", lambda *_: None)
    new, old = (kafka_jars(tmp_path, print, version=version) for version in ("4.3.1", "3.9.2"))
    assert {jar.parent.name for jar in new} == {"kafka-4.3.1"}
    assert {jar.parent.name for jar in old} == {"kafka-3.9.2"}
    assert "kafka_2.13-4.3.1.jar" in {jar.name for jar in new}
    assert {"kafka_2.13-3.9.2.jar", "zookeeper-3.8.4.jar"} <= {jar.name for jar in old}


def test_several_servers_listen_on_neighbouring_ports_and_the_taken_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port, _host: port != 9093)
    assert Claims().several(9094, 3, "Kafka", "") == (9094, 9095, 9096)
    with pytest.raises(UsageError, match=r"port 9093 for Kafka 2 of 3 is taken .* --kafka-port"):
        Claims().several(9092, 3, "Kafka", "choose another with --kafka-port")


def test_no_free_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20_001, 20_001, 20_001, 20_002])
    monkeypatch.setattr(ports, "free_port", lambda: next(drawn))
    claims = Claims()
    assert claims.several(0, 2, "Kafka", "") == (20_001, 20_002)
