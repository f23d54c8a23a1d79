"""All brokers of a stack, and the ZooKeeper that coordinates them where one does: started, started again, ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.errors import ProcessFailedError
from pipeline.local import kafka as broker
from pipeline.local import zookeeper
from pipeline.local.brokerconfig import Cluster, Node
from pipeline.local.launch import Launch
from pipeline.local.process import ChildProcess

_SESSION_TIMEOUT_S = 30.0
_POLL_S = 0.1


class KafkaCluster:
    """The processes of one cluster; ``start`` blocks until a producer and a group are served."""

    def __init__(
        self,
        cluster: Cluster,
        launch: Launch,
        *,
        java: Path,
        jars: Sequence[Path],
        zookeeper_dir: Path | None,
        jvm_options: Callable[[Node], Sequence[str]],
    ) -> None:
        """``zookeeper_dir``: its data, where there is one. ``jvm_options``: more of them for each broker."""
        self.cluster = cluster
        self.brokers: tuple[ChildProcess, ...] = ()
        self.zookeeper: ChildProcess | None = None
        self._launch = launch
        self._java = java
        self._jars = jars
        self._zookeeper_dir = zookeeper_dir
        self._jvm_options = jvm_options

    @property
    def processes(self) -> tuple[ChildProcess, ...]:
        """All of them that were made so far."""
        return (*self.brokers, *([self.zookeeper] if self.zookeeper else []))

    def start(self) -> None:
        """Start all and wait until they serve.

        Raises:
            ProcessFailedError: one did not come up; shows the end of its log.
        """
        if self._zookeeper_dir is not None:
            self._start_zookeeper(self._zookeeper_dir)
        with ThreadPoolExecutor(len(self.cluster.nodes)) as pool:
            self.brokers = tuple(pool.map(self._prepare, self.cluster.nodes))
        for each in self.brokers:
            each.start()
        self.wait_until_ready()
        # In a thread of its own: an event loop may be running in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(broker.warm_up, self.cluster.bootstrap_servers, len(self.brokers)).result()

    def wait_until_ready(self, timeout_s: float = broker.READY_TIMEOUT_S) -> None:
        """Wait until every broker, just started, serves; raises ProcessFailedError."""
        deadline = time.monotonic() + timeout_s
        for process, node in zip(self.brokers, self.cluster.nodes, strict=True):
            broker.wait_until_ready(process, self.cluster, node, max(0.0, deadline - time.monotonic()))

    def start_again(self, number: int) -> None:
        """Start a broker (from 1) that has ended, and wait until it serves.

        Raises:
            ProcessFailedError: it did not come up.
        """
        process, node = self.brokers[number - 1], self.cluster.nodes[number - 1]
        deadline = time.monotonic() + _SESSION_TIMEOUT_S
        # Of two sessions with one id ZooKeeper refuses the second, and then the broker gives up.
        while self.zookeeper is not None and node.id in zookeeper.registered_brokers(self.cluster.zookeeper_port):
            if time.monotonic() > deadline:
                raise ProcessFailedError(
                    f"the last session of {process.name} has not ended in {_SESSION_TIMEOUT_S:g} s"
                )
            time.sleep(_POLL_S)
        process.start()
        broker.wait_until_ready(process, self.cluster, node)

    def _start_zookeeper(self, data_dir: Path) -> None:
        self.zookeeper = zookeeper.prepare(
            java_path=self._java,
            jars=self._jars,
            port=self.cluster.zookeeper_port,
            data_dir=data_dir,
            launch=self._launch,
        )
        self.zookeeper.start()
        zookeeper.wait_until_ready(self.zookeeper, self.cluster.zookeeper_port)

    def _prepare(self, node: Node) -> ChildProcess:
        return broker.prepare(
            self.cluster,
            node,
            java_path=self._java,
            jars=self._jars,
            launch=self._launch,
            jvm_options=self._jvm_options(node),
        )
