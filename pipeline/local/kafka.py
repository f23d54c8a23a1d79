"""Kafka brokers as child processes: each its own controller (KRaft), or coordinated by ZooKeeper."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from pipeline.errors import ProcessFailedError, UsageError
from pipeline.local import brokerconfig, java
from pipeline.local.brokerconfig import LOG, OFFSETS_PARTITIONS, Cluster, Node
from pipeline.local.launch import Launch, numbered
from pipeline.local.process import ChildProcess

READY_TIMEOUT_S = 60.0

_HEAP = ("-Xms256m", "-Xmx512m")
_FORMAT_TIMEOUT_S = 60.0
_WARM_UP_TIMEOUT_S = 30.0
_WARM_UP = "tidemark_warm_up"
_POLL_S = 0.05
_STARTED = "Kafka Server started"
_STARTED_WITH_ZOOKEEPER = "[KafkaServer id={}] started"
# In the data folder, which is where the broker runs: Java and Kafka see no path of the user's.
_CONFIGURATION, _META = "server.properties", "meta.properties"


def prepare(
    cluster: Cluster,
    node: Node,
    *,
    java_path: Path,
    jars: Sequence[Path],
    launch: Launch,
    jvm_options: Sequence[str] = (),
) -> ChildProcess:
    """Write a broker's configuration, format its data folder if it is new, and return the process to start.

    Raises:
        UsageError: Kafka does not take a setting's value; says which.
        ProcessFailedError: the folder could not be formatted; says why.
    """
    data_dir = node.data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    properties = brokerconfig.properties(cluster, node)
    (data_dir / _CONFIGURATION).write_text(java.as_properties(properties), encoding="ascii")
    class_path = java.class_path(jars, data_dir)
    zookeeper = cluster.spec.zookeeper
    if not zookeeper and not (data_dir / LOG / _META).exists():
        _format(java_path, class_path, cluster.id, data_dir)
    logging = java.reload4j() if zookeeper else java.log4j2()
    options = [*_HEAP, *java.OPTIONS, *jvm_options, *logging, "-cp", class_path]
    return launch.process(
        name_of(cluster, node),
        [java_path, *options, "kafka.Kafka", _CONFIGURATION],
        f"{numbered('kafka', node.id, cluster.spec.brokers)}.log",
        env=java.environment(),
        cwd=data_dir,
    )


def name_of(cluster: Cluster, node: Node) -> str:
    """Return what a broker is called in messages: by its number where there are several."""
    return "Kafka" if cluster.spec.brokers == 1 else f"Kafka broker {node.id}"


def wait_until_ready(kafka: ChildProcess, cluster: Cluster, node: Node, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until a broker, just started, serves.

    Raises:
        UsageError: it does not take a setting's value; says which.
        ProcessFailedError: it ended, or did not get so far in time; shows the end of its log.
    """
    line = _STARTED_WITH_ZOOKEEPER.format(node.id) if cluster.spec.zookeeper else _STARTED
    try:
        kafka.wait_for_line(line, timeout_s)
    except ProcessFailedError:
        _expect_taken(kafka.output())
        raise


def _expect_taken(said: str) -> None:
    """Raise UsageError if what Kafka said when it did not start is that it does not take a setting's value."""
    # The second is what it says of two settings that do not go together.
    found = re.findall(r"(?:ConfigException|IllegalArgumentException: requirement failed): (.*)", said)
    if found:
        raise UsageError(f"Kafka refuses a setting: {found[-1].strip()}. Write another value for it, or leave it out")


def warm_up(bootstrap_servers: str, brokers: int = 1) -> None:
    """Let fresh brokers find each other, make their own topics and load their coordinators.

    The first clients would wait for that.

    Raises:
        ProcessFailedError: they do not serve a producer and a group within the time-out.
    """
    try:
        asyncio.run(asyncio.wait_for(_until_warm(bootstrap_servers, brokers), _WARM_UP_TIMEOUT_S))
    except (TimeoutError, KafkaError) as error:
        message = f"Kafka at {bootstrap_servers} started, but does not serve: {error or 'timed out'}"
        raise ProcessFailedError(message) from error


async def _until_warm(bootstrap_servers: str, brokers: int) -> None:
    """Warm up; again while brokers that have just started do not know each other yet. The caller bounds the time."""
    while True:
        try:
            return await _warm_up(bootstrap_servers, brokers)
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_POLL_S)


async def _warm_up(bootstrap_servers: str, brokers: int) -> None:
    async with contextlib.AsyncExitStack() as cleanup:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        cleanup.push_async_callback(admin.close)
        if brokers > 1:
            await _until_all_are_there(admin, brokers)
        # The first question for a group's coordinator makes the broker create the topic of offsets.
        # Names that differ in their last digit have hashes one apart: one name for each partition of it.
        for number in range(OFFSETS_PARTITIONS):
            await _until_coordinator_answers(admin, f"{_WARM_UP}_{number}")
        await admin.create_topics([NewTopic(_WARM_UP, 1, 1, topic_configs={"min.insync.replicas": "1"})])
        cleanup.push_async_callback(admin.delete_topics, [_WARM_UP])
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
        await producer.start()
        cleanup.push_async_callback(producer.stop)
        await producer.send_and_wait(_WARM_UP, b"warm-up")


async def _until_all_are_there(admin: AIOKafkaAdminClient, brokers: int) -> None:
    """Wait until so many brokers are in the cluster; the caller bounds the time."""
    while True:
        described = await admin.describe_cluster()
        if len(described["brokers"]) >= brokers:
            return
        await asyncio.sleep(_POLL_S)


async def _until_coordinator_answers(admin: AIOKafkaAdminClient, group: str) -> None:
    """Ask for the group's offsets until its coordinator has loaded; the caller bounds the time."""
    partition = TopicPartition(_WARM_UP, 0)
    while True:
        try:
            # While it loads, the answer may also be one that leaves the partition out.
            if partition in await admin.list_consumer_group_offsets(group, partitions=[partition]):
                return
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_POLL_S)


def cluster_id(data_dirs: Sequence[Path]) -> str:
    """Return the id of the cluster whose data are there; a new one if there are none yet."""
    for data_dir in data_dirs:
        meta = data_dir / LOG / _META
        found = re.search(r"^cluster\.id=(.+)$", meta.read_text(), re.MULTILINE) if meta.exists() else None
        if found:
            return found[1].strip()
    return new_cluster_id()


def new_cluster_id() -> str:
    """Return 16 random bytes as Kafka writes them, never beginning with the dash of an option."""
    random = bytearray(uuid.uuid4().bytes)
    random[0] &= 0x7F
    return base64.urlsafe_b64encode(random).decode().rstrip("=")


def _format(java_path: Path, class_path: str, cluster: str, data_dir: Path) -> None:
    options = ["-XX:TieredStopAtLevel=1", "-cp", class_path, "kafka.tools.StorageTool", "format"]
    try:
        ran = subprocess.run(
            [java_path, *options, "-t", cluster, "-c", _CONFIGURATION],
            capture_output=True,
            env=java.environment(),
            cwd=data_dir,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessFailedError(f"Kafka's data folder could not be formatted: {error}") from error
    if ran.returncode:
        said = (ran.stdout + ran.stderr).decode(errors="replace").strip()
        _expect_taken(said)
        raise ProcessFailedError(f"Kafka's data folder could not be formatted: {said}")
