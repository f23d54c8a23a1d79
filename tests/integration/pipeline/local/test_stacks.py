"""Stacks that are not the smallest: what is set takes effect, what servers refuse is named, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pymongo import MongoClient

from pipeline import provision
from pipeline.errors import UsageError
from pipeline.local import kafkasettings
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import Coordination, StackSpec, Value
from pipeline.settings import Kafka, Local

WAIT_S = 60.0
pytestmark = pytest.mark.usefixtures("parts_are_there")


async def settings_of_broker(servers: str) -> dict[str, str | None]:
    """Every setting that the first broker says it has."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    finally:
        await client.close()
    ((_code, _message, _type, _name, entries),) = answer.resources
    return {entry[0]: entry[1] for entry in entries}


def test_what_is_set_takes_effect_in_both_servers(tmp_path: Path) -> None:
    spec = StackSpec(kafka=(("num.io.threads", 3),), mongod=(("ttlMonitorSleepSecs", 77),))
    with LocalStack(Local(), logs_dir=tmp_path, spec=spec) as stack, MongoClient(stack.mongo_uri) as client:
        broker_settings = asyncio.run(settings_of_broker(stack.kafka_bootstrap_servers))
        assert broker_settings["num.io.threads"] == "3"
        assert client.admin.command("getParameter", ttlMonitorSleepSecs=1)["ttlMonitorSleepSecs"] == 77
        # The broker shows some settings more than once: those of topics have a name of their own there.
        assert set(broker_settings) - kafkasettings.known(kafkasettings.VERSION) <= set(), (
            "the list of names is not this broker's"
        )


@pytest.mark.parametrize("coordination", ["kraft", pytest.param("zookeeper", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("num.io.threads", "many", "Invalid value many for configuration num.io.threads"),
        ("replica.fetch.wait.max.ms", 40_000, "replica.socket.timeout.ms should always be at least"),
    ],
)
def test_a_value_that_kafka_refuses_is_named_with_its_setting(
    name: str, value: Value, said: str, coordination: Coordination, tmp_path: Path
) -> None:
    spec = StackSpec(coordination=coordination, kafka=((name, value),))
    with pytest.raises(UsageError, match=re.escape(said)):
        LocalStack(Local(), logs_dir=tmp_path, spec=spec).start()


def test_a_parameter_that_mongod_does_not_know_is_named(tmp_path: Path) -> None:
    spec = StackSpec(mongod=(("noSuchParameter", 1),))
    with pytest.raises(UsageError, match="refuses a parameter: Unknown --setParameter 'noSuchParameter'"):
        LocalStack(Local(), logs_dir=tmp_path, spec=spec).start()


STARTS_A_STACK = """
import json, sys, time
from pathlib import Path
from pipeline.local.stack import LocalStack
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Local
logs = Path(sys.argv[1])
stack = LocalStack(Local(), logs_dir=logs, spec=StackSpec(3, "zookeeper", 3)).start()
(logs / "writing").write_text(json.dumps([each.pid for each in stack.processes]))
(logs / "writing").rename(logs / "ready")
time.sleep(600)
"""


@pytest.mark.slow
def test_nothing_is_left_of_seven_servers_when_their_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", STARTS_A_STACK, str(tmp_path)])
    try:
        deadline = time.monotonic() + WAIT_S
        while not (tmp_path / "ready").exists():
            assert owner.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        servers = [psutil.Process(pid) for pid in json.loads((tmp_path / "ready").read_text())]
        data = [Path(server.cwd()) for server in servers]
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    gone, alive = psutil.wait_procs(servers, timeout=WAIT_S)
    assert (len(gone), alive) == (7, [])
    deadline = time.monotonic() + WAIT_S
    while any(folder.exists() for folder in data):  # the guards remove it when the servers are gone
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("coordination", ["kraft", "zookeeper"])
def test_kept_data_of_three_brokers_and_members_are_there_again_on_other_ports(
    coordination: Coordination, tmp_path: Path
) -> None:
    local = Local(data_dir=str(tmp_path / "data"), keep_data=True)
    spec = StackSpec(3, coordination, 3)
    with LocalStack(local, logs_dir=tmp_path / "logs", spec=spec) as first:
        kafka = Kafka(bootstrap_servers=first.kafka_bootstrap_servers, replication_factor=3)
        asyncio.run(provision.create_topics(kafka))
        with MongoClient(first.mongo_uri, w="majority") as client:
            client["kept"]["things"].insert_one({"_id": 1})
    with LocalStack(local, logs_dir=tmp_path / "logs", spec=spec) as second:
        again = Kafka(bootstrap_servers=second.kafka_bootstrap_servers, replication_factor=3)
        assert not any(topic.made for topic in asyncio.run(provision.create_topics(again)))
        with MongoClient(second.mongo_uri) as client:
            assert client["kept"]["things"].find_one() == {"_id": 1}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {f"{coordination}-3", "mongodb-of-3"}
