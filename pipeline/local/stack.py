"""Kafka and MongoDB together: started, ready, stopped, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from pipeline.errors import MissingPartError, ProcessFailedError, UsageError
from pipeline.local import agent, brokerconfig, mongodb, room, stackports, stackspec, zookeeper
from pipeline.local import kafka as broker
from pipeline.local.brokerconfig import Cluster, Node
from pipeline.local.datafolders import DataFolders
from pipeline.local.jars import agent_jar, cache_folder, kafka_jars
from pipeline.local.kafkacluster import KafkaCluster
from pipeline.local.launch import Launch, numbered
from pipeline.local.mongodb import ReplicaSetMember
from pipeline.local.process import ChildProcess
from pipeline.local.programs import InstalledProgram, find_java, find_mongod
from pipeline.local.replicaset import ReplicaSet
from pipeline.local.stackports import FirstPorts, StackPorts
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Local

_STOP_GRACE_S = 20.0


class Versions(Struct, frozen=True, omit_defaults=True):
    """What runs, as each part reports it; ``zookeeper`` empty where there is none."""

    kafka: str
    mongod: str
    java: str
    zookeeper: str = ""


class LocalStack:
    """Kafka brokers and mongods on the loopback address of this machine.

    ``start`` blocks until all serve, ``stop`` until all are gone; both may be called from any
    thread, and from within a running event loop. Where this process dies, its guards stop the
    servers and remove their data.
    """

    def __init__(  # noqa: PLR0913 - keywords only: each is named where it is given
        self,
        local: Local,
        *,
        logs_dir: Path,
        spec: StackSpec | None = None,
        kafka_port: int = 0,
        mongo_port: int = 0,
        zookeeper_port: int = 0,
        group_initial_rebalance_delay_ms: int = brokerconfig.GROUP_INITIAL_REBALANCE_DELAY_MS,
        niceness: int = 0,
        kafka_counters: bool = False,
    ) -> None:
        """A port of 0 is chosen at the start; of several servers the others listen on the ports behind it.

        ``spec``: what is started; None: what ``local`` says. Logs are ``kafka.log`` and ``mongod.log`` in ``logs_dir``,
        with a number where there are several (``kafka-1.log``), and ``zookeeper.log``. ``niceness``: above 0 all
        servers let other processes go first. ``kafka_counters``: every broker reports its own counters, where what it
        takes can be had.
        """
        self.spec = spec or stackspec.from_settings(local)
        self._local = local
        self._first_ports = FirstPorts(kafka_port, mongo_port, zookeeper_port)
        self._rebalance_delay_ms = group_initial_rebalance_delay_ms
        self._folders = DataFolders(local)
        self._launch = Launch(logs_dir, niceness, self._folders.scratch)
        self._kafka_counters = kafka_counters
        self._agent_ports: dict[int, int] = {}
        self._kafka: KafkaCluster | None = None
        self._mongo: ReplicaSet | None = None
        self._versions: Versions | None = None

    def start(self, on_progress: Callable[[str], None] = lambda _: None) -> Self:
        """Start all servers and wait until they serve; ``on_progress`` gets lines for a person.

        Raises:
            MissingPartError: a part cannot be had on this machine; nothing was started.
            UsageError: such a stack cannot be, or a port that was asked for is taken.
            ProcessFailedError: a server did not come up; shows the end of its log.
        """
        wrong = list(stackspec.problems(self.spec))
        if wrong:
            raise UsageError("the servers cannot be started so: " + "; ".join(wrong))
        java, mongod = find_java(self._local), find_mongod(self._local)
        ports = stackports.claim(self.spec, self._first_ports)
        cache = cache_folder(self._local.cache_dir)
        jars = kafka_jars(cache, on_progress, version=self.spec.kafka_version)
        agent_options = self._agent_options(ports, cache, on_progress) if self._kafka_counters else {}
        coordinator = zookeeper.VERSION if self.spec.zookeeper else ""
        self._versions = Versions(self.spec.kafka_version, mongod.version, java.version, coordinator)
        for shortage in room.shortages(self.spec, self._folders.root):
            on_progress(shortage)
        on_progress(f"starting {self._named()}")
        try:
            self._kafka = self._cluster(ports, java, jars, agent_options)
            self._mongo = self._replica_set(ports, mongod)
            self._start_both(self._kafka, self._mongo)
        except BaseException:
            self.stop()
            raise
        on_progress(f"Kafka is ready at {self.kafka_bootstrap_servers}, MongoDB at {self.mongo_uri}")
        return self

    def stop(self) -> None:
        """Stop all servers and remove their data, unless the settings keep it. May be called twice."""
        try:
            self._end_servers()
        finally:
            self._folders.remove()

    @property
    def kafka_bootstrap_servers(self) -> str:
        """Where clients find Kafka."""
        return self._started_kafka.cluster.bootstrap_servers

    @property
    def kafka_counters_urls(self) -> tuple[str, ...]:
        """Where the brokers report their counters (:mod:`pipeline.local.agent`); empty where they do not."""
        return tuple(agent.url(port) for port in self._agent_ports.values())

    @property
    def mongo_uri(self) -> str:
        """Where clients find MongoDB."""
        return mongodb.uri(*(member.port for member in self._started_mongo.members))

    @property
    def mongo_member_uris(self) -> tuple[str, ...]:
        """Where each member is found, whatever it is at that time."""
        return tuple(mongodb.uri(member.port) for member in self._started_mongo.members)

    @property
    def zookeeper_port(self) -> int:
        """Where ZooKeeper listens; 0 where there is none."""
        return self._started_kafka.cluster.zookeeper_port

    @property
    def kafka(self) -> ChildProcess:
        """The first broker's process; after a ``kill`` and a ``start`` of it, call :meth:`wait_for_kafka`."""
        return self._started_kafka.brokers[0]

    @property
    def brokers(self) -> tuple[ChildProcess, ...]:
        """Every broker's process."""
        return self._started_kafka.brokers

    @property
    def mongod(self) -> ChildProcess:
        """The first mongod's process; after a ``kill`` and a ``start`` of it, call :meth:`wait_for_mongod`."""
        return self._started_mongo.processes[0]

    @property
    def members(self) -> tuple[ChildProcess, ...]:
        """Every mongod's process."""
        return self._started_mongo.processes

    @property
    def zookeeper(self) -> ChildProcess | None:
        """ZooKeeper's process, where there is one."""
        return self._started_kafka.zookeeper

    @property
    def pids(self) -> dict[str, list[int]]:
        """The process ids by role; ZooKeeper's is Kafka's, whose brokers otherwise do its work themselves."""
        return {
            "kafka": [each.pid for each in self._started_kafka.processes],
            "mongodb": [each.pid for each in self._started_mongo.processes],
        }

    @property
    def groups(self) -> tuple[tuple[ChildProcess, ...], ...]:
        """All servers, those together of which one can do without the other: a majority goes on."""
        coordinator = [(self.zookeeper,)] if self.zookeeper else []
        return (self.brokers, self.members, *coordinator)

    @property
    def processes(self) -> tuple[ChildProcess, ...]:
        """All servers."""
        return tuple(process for group in self.groups for process in group)

    @property
    def versions(self) -> Versions:
        """What runs; known once it was started."""
        if self._versions is None:
            raise ProcessFailedError("the local stack was not started")
        return self._versions

    def wait_for_kafka(self, timeout_s: float = broker.READY_TIMEOUT_S) -> None:
        """Wait until every broker serves; raises ProcessFailedError if one does not."""
        self._started_kafka.wait_until_ready(timeout_s)

    def wait_for_mongod(self, timeout_s: float = mongodb.READY_TIMEOUT_S) -> None:
        """Wait until MongoDB takes writes; raises ProcessFailedError if it does not."""
        self._started_mongo.wait_until_ready(timeout_s)

    def start_broker_again(self, number: int) -> None:
        """Start a broker (from 1) that has ended, and wait until it serves; raises ProcessFailedError."""
        self._started_kafka.start_again(number)

    def start_member_again(self, number: int) -> None:
        """Start a mongod (from 1) that has ended, and wait until it serves; raises ProcessFailedError."""
        self._started_mongo.start_again(number)

    def __enter__(self) -> Self:
        return self if self._kafka is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _started_kafka(self) -> KafkaCluster:
        if self._kafka is None:
            raise ProcessFailedError("the local stack's Kafka was not started")
        return self._kafka

    @property
    def _started_mongo(self) -> ReplicaSet:
        if self._mongo is None:
            raise ProcessFailedError("the local stack's mongod was not started")
        return self._mongo

    def _named(self) -> str:
        """Name what is started, with versions."""
        versions, spec = self.versions, self.spec
        coordinated = f" with ZooKeeper {versions.zookeeper}" if versions.zookeeper else ""
        brokers = f", {spec.brokers} brokers" if spec.brokers > 1 else ""
        members = f", {spec.mongo_members} members" if spec.mongo_members > 1 else ""
        return f"Kafka {versions.kafka}{coordinated}{brokers} and MongoDB {versions.mongod}{members}"

    def _agent_options(
        self, ports: StackPorts, cache: Path, on_progress: Callable[[str], None]
    ) -> dict[int, tuple[str, ...]]:
        """Return each broker (by number) its agent; where there is none, they go without: they are as good brokers."""
        try:
            jar = agent_jar(cache, on_progress)
            chosen = {number + 1: ports.claims.claim(0, "an agent", "") for number in range(self.spec.brokers)}
            options = {number: agent.jvm_options(jar, port) for number, port in chosen.items()}
        except MissingPartError as error:
            on_progress(f"Kafka's own counters will be missing: {error}")
            return {}
        self._agent_ports = chosen
        return options

    def _cluster(
        self,
        ports: StackPorts,
        java: InstalledProgram,
        jars: Sequence[Path],
        agent_options: dict[int, tuple[str, ...]],
    ) -> KafkaCluster:
        spec = self.spec
        folder = "" if spec.brokers == 1 and not spec.zookeeper else f"{spec.coordination}-{spec.brokers}"
        nodes = tuple(
            Node(
                id=number,
                port=port,
                controller_port=0 if spec.zookeeper else ports.claims.claim(0, "a controller", ""),
                data_dir=self._folders.make(numbered("kafka", number, spec.brokers), folder),
            )
            for number, port in enumerate(ports.brokers, start=1)
        )
        cluster = Cluster(
            spec=spec,
            id=broker.cluster_id([node.data_dir for node in nodes]),
            nodes=nodes,
            zookeeper_port=ports.zookeeper,
            rebalance_delay_ms=self._rebalance_delay_ms,
        )
        return KafkaCluster(
            cluster,
            self._launch,
            java=java.path,
            jars=jars,
            zookeeper_dir=self._folders.make("zookeeper", folder) if spec.zookeeper else None,
            jvm_options=lambda node: agent_options.get(node.id, ()),
        )

    def _replica_set(self, ports: StackPorts, mongod: InstalledProgram) -> ReplicaSet:
        count = self.spec.mongo_members
        folder = "" if count == 1 else f"mongodb-of-{count}"
        members = [
            ReplicaSetMember(number, port, self._folders.make(numbered("mongodb", number, count), folder))
            for number, port in enumerate(ports.members, start=1)
        ]
        return ReplicaSet(members, self._launch, mongod=mongod.path, parameters=self.spec.mongod)

    def _start_both(self, kafka: KafkaCluster, mongo: ReplicaSet) -> None:
        with ThreadPoolExecutor(1) as pool:
            mongod_ready = pool.submit(mongo.start)
            try:
                kafka.start()
                mongod_ready.result()
            except BaseException:
                # The pool waits for its thread, and the thread for mongod: let neither wait long.
                self._end_servers()
                raise

    def _end_servers(self) -> None:
        """End brokers and mongods at once; ZooKeeper last, as brokers take their leave of it."""
        brokers = self._kafka.brokers if self._kafka else ()
        members = self._mongo.processes if self._mongo else ()
        coordinator = self._kafka.zookeeper if self._kafka else None
        running = (*brokers, *members)
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(lambda each: each.stop(_STOP_GRACE_S), running))
        if coordinator is not None:
            coordinator.stop(_STOP_GRACE_S)
