"""One ZooKeeper, for brokers of the last line that has it, as a child process."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ProcessFailedError
from pipeline.local import java
from pipeline.local.launch import Launch
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess

VERSION = "3.8.4"
READY_TIMEOUT_S = 60.0

_HEAP = ("-Xms64m", "-Xmx256m")
_CONFIGURATION, _DATA = "zoo.cfg", "data"
_ASK_TIMEOUT_S = 5.0
_POLL_S = 0.05


def prepare(
    *,
    java_path: Path,
    jars: Sequence[Path],
    port: int,
    data_dir: Path,
    launch: Launch,
) -> ChildProcess:
    """Write its configuration and return the process to start; ``data_dir`` is made if it is not there."""
    data_dir.mkdir(parents=True, exist_ok=True)
    configuration = {
        "clientPort": str(port),
        "clientPortAddress": HOST,
        # In the folder that it starts in, as for a broker.
        "dataDir": _DATA,
        # A session ends after two ticks or more: brokers ask for four seconds.
        "tickTime": "1000",
        "maxClientCnxns": "0",
        # A page of its own on a port of its own, which nobody reads.
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "srvr,dump",
    }
    (data_dir / _CONFIGURATION).write_text(java.as_properties(configuration), encoding="ascii")
    class_path = java.class_path(jars, data_dir)
    options = [*_HEAP, *java.OPTIONS, *java.reload4j(), "-cp", class_path]
    return launch.process(
        "ZooKeeper",
        [java_path, *options, "org.apache.zookeeper.server.quorum.QuorumPeerMain", _CONFIGURATION],
        "zookeeper.log",
        env=java.environment(),
        cwd=data_dir,
    )


def wait_until_ready(zookeeper: ChildProcess, port: int, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until it, just started, serves.

    Raises:
        ProcessFailedError: it ended, or did not get so far in time; shows the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while "Mode:" not in ask(port, "srvr"):
        if not zookeeper.running():
            raise ProcessFailedError(f"ZooKeeper {zookeeper.ending}; {zookeeper.last_words()}")
        if time.monotonic() > deadline:
            raise ProcessFailedError(f"ZooKeeper does not serve after {timeout_s:g} s; {zookeeper.last_words()}")
        time.sleep(_POLL_S)


def ask(port: int, command: str) -> str:
    """Return the answer to a command of four letters; empty where there is none."""
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((HOST, port), timeout=_ASK_TIMEOUT_S) as connection,
    ):
        connection.sendall(command.encode())
        while received := connection.recv(65_536):
            answer += received
    return answer.decode(errors="replace")


def registered_brokers(port: int) -> frozenset[int]:
    """Return the ids of the brokers whose sessions live."""
    return frozenset(int(found) for found in re.findall(r"^\s*/brokers/ids/(\d+)$", ask(port, "dump"), re.MULTILINE))
