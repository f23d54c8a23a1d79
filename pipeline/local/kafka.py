"""One Kafka broker in KRaft mode, its own controller, as a child process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from pipeline.errors import ProcessFailedError
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess

READY_TIMEOUT_S = 60.0
# Long enough for all workers of a cell to join in one rebalance, short enough for a person.
GROUP_INITIAL_REBALANCE_DELAY_MS = 500

_HEAP = ("-Xms256m", "-Xmx512m")
# What Kafka's own start script gives the JVM.
_COLLECTOR = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    # A broker that lives for minutes: what the second compiler costs on a few cores it never earns back,
    # and its threads would compete with what is measured.
    "-XX:TieredStopAtLevel=1",
)
_FORMAT_TIMEOUT_S = 60.0
_WARM_UP_TIMEOUT_S = 30.0
_WARM_UP = "tidemark_warm_up"
_OFFSETS_PARTITIONS = 4
_POLL_S = 0.05
_STARTED = "Kafka Server started"
# In the data folder, which is where the broker runs: Java and Kafka see no path of the user's.
_CONFIGURATION, _LOG, _JARS = "server.properties", "log", "jars"
_BLANK, _DELETE = 0x20, 0x7F  # printable ASCII is between the two


def prepare(  # noqa: PLR0913 - keywords only: each is named where it is given
    *,
    java: Path,
    jars: Sequence[Path],
    port: int,
    controller_port: int,
    data_dir: Path,
    log_path: Path,
    scratch: Path | None = None,
    group_initial_rebalance_delay_ms: int = GROUP_INITIAL_REBALANCE_DELAY_MS,
    niceness: int = 0,
    jvm_options: Sequence[str] = (),
) -> ChildProcess:
    """Write the broker's configuration, format ``data_dir`` if it is new, and give the process to start.

    Raises:
        ProcessFailedError: the folder could not be formatted; says why.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    configuration = data_dir / _CONFIGURATION
    properties = _properties(port, controller_port, group_initial_rebalance_delay_ms)
    configuration.write_text(as_properties(properties), encoding="ascii")
    class_path = _class_path(jars, data_dir)
    logging = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}"
    if not (data_dir / _LOG / "meta.properties").exists():
        _format(java, class_path, data_dir)
    return ChildProcess(
        "Kafka",
        [java, *_HEAP, *_COLLECTOR, *jvm_options, logging, "-cp", class_path, "kafka.Kafka", _CONFIGURATION],
        env=_environment(),
        log_path=log_path,
        cwd=data_dir,
        scratch=scratch,
        niceness=niceness,
    )


def wait_until_ready(kafka: ChildProcess, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until the broker, just started, serves.

    Raises:
        ProcessFailedError: it ended, or did not get so far in time; shows the end of its log.
    """
    kafka.wait_for_line(_STARTED, timeout_s)


def warm_up(bootstrap_servers: str) -> None:
    """Let a fresh broker make its own topics and load its coordinators, which the first clients wait for.

    Raises:
        ProcessFailedError: the broker does not serve a producer and a group within the time-out.
    """
    try:
        asyncio.run(asyncio.wait_for(_warm_up(bootstrap_servers), _WARM_UP_TIMEOUT_S))
    except (TimeoutError, KafkaError) as error:
        message = f"Kafka at {bootstrap_servers} started, but does not serve: {error or 'timed out'}"
        raise ProcessFailedError(message) from error


async def _warm_up(bootstrap_servers: str) -> None:
    async with contextlib.AsyncExitStack() as cleanup:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        cleanup.push_async_callback(admin.close)
        # The first question for a group's coordinator makes the broker create the topic of offsets.
        # Names that differ in their last digit have hashes one apart: one name for each partition of it.
        for number in range(_OFFSETS_PARTITIONS):
            await _until_coordinator_answers(admin, f"{_WARM_UP}_{number}")
        await admin.create_topics([NewTopic(_WARM_UP, 1, 1)])
        cleanup.push_async_callback(admin.delete_topics, [_WARM_UP])
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
        await producer.start()
        cleanup.push_async_callback(producer.stop)
        await producer.send_and_wait(_WARM_UP, b"warm-up")


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


def new_cluster_id() -> str:
    """Give 16 random bytes as Kafka writes them, never beginning with the dash of an option."""
    random = bytearray(uuid.uuid4().bytes)
    random[0] &= 0x7F
    return base64.urlsafe_b64encode(random).decode().rstrip("=")


def _format(java: Path, class_path: str, data_dir: Path) -> None:
    command: list[str | Path] = [
        java,
        "-XX:TieredStopAtLevel=1",
        "-cp",
        class_path,
        "kafka.tools.StorageTool",
        "format",
    ]
    try:
        ran = subprocess.run(
            [*command, "-t", new_cluster_id(), "-c", _CONFIGURATION],
            capture_output=True,
            env=_environment(),
            cwd=data_dir,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessFailedError(f"Kafka's data folder could not be formatted: {error}") from error
    if ran.returncode:
        said = (ran.stdout + ran.stderr).decode(errors="replace").strip()
        raise ProcessFailedError(f"Kafka's data folder could not be formatted: {said}")


def _class_path(jars: Sequence[Path], data_dir: Path) -> str:
    """Link the jars' folder into ``data_dir`` and use that path: a class path cannot hold a folder with a colon."""
    link = data_dir / _JARS
    link.unlink(missing_ok=True)
    link.symlink_to(jars[0].parent.resolve(), target_is_directory=True)
    return os.pathsep.join(f"{_JARS}/{jar.name}" for jar in jars)


def _environment() -> dict[str, str]:
    """Make Java read and write file names as UTF-8 in every locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def as_properties(values: Mapping[str, str]) -> str:
    """Return ``values`` as a Java properties file, in ASCII, with every value escaped; our names need no escape."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in values.items())


def _escaped(value: str) -> str:
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    # Blanks too: those at the beginning would be lost. Other characters are written as UTF-16 codes.
    return "".join(
        "\\" + chr(code) if chr(code) in "\\ " else chr(code) if _BLANK < code < _DELETE else f"\\u{code:04x}"
        for code in codes
    )


def _properties(port: int, controller_port: int, rebalance_delay_ms: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        # In the folder that the broker starts in: a path with a comma would be two folders.
        "log.dirs": _LOG,
        # A misspelt topic shall be an error, not a new topic.
        "auto.create.topics.enable": "false",
        # One broker: what Kafka keeps for itself has one replica, and few partitions make it start fast.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": str(_OFFSETS_PARTITIONS),
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # A broker that was killed may register again only when its last session has run out.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": str(rebalance_delay_ms),
    }
