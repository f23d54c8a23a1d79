"""The members of one MongoDB replica set as child processes: a single one, or several with elections."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from pipeline.errors import ProcessFailedError, UsageError
from pipeline.local.launch import Launch
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess
from pipeline.local.stackspec import Given, as_text

READY_TIMEOUT_S = 60.0

_REPLICA_SET = "rs0"
_CACHE_GB = 1
_OPLOG_MB = 1024
_NOT_YET_INITIALIZED = 94
_SERVING = ("PRIMARY", "SECONDARY")
_POLL_S = 0.05
_PARAMETERS: Given = (
    # On a signal there is nobody to hand over to, or all members end together: no need to wait for that.
    ("shutdownTimeoutMillisForSignaledShutdown", 100),
    # Its own diagnostics would write to the disk that is measured.
    ("diagnosticDataCollectionEnabled", False),
)
_Client = MongoClient[Mapping[str, Any]]


class ReplicaSetMember(Struct, frozen=True):
    """One member of the set: its number from 1, and where it listens."""

    number: int
    port: int
    data_dir: Path

    @property
    def address(self) -> str:
        """Where the others find it."""
        return f"{HOST}:{self.port}"


def uri(*ports: int) -> str:
    """Return the URI of the replica set whose members listen on ``ports``: of a single one without a search."""
    if len(ports) == 1:
        return f"mongodb://{HOST}:{ports[0]}/?directConnection=true"
    return f"mongodb://{','.join(f'{HOST}:{port}' for port in ports)}/?replicaSet={_REPLICA_SET}"


def prepare(
    *,
    mongod: Path,
    member: ReplicaSetMember,
    name: str,
    launch: Launch,
    parameters: Given = (),
) -> ChildProcess:
    """Return the process to start; the member's data folder is made if it is not there."""
    data_dir = member.data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [mongod, "--port", member.port, "--bind_ip", HOST, "--dbpath", data_dir, "--replSet", _REPLICA_SET]
    bounds = ["--wiredTigerCacheSizeGB", _CACHE_GB, "--oplogSize", _OPLOG_MB, "--nounixsocket"]
    set_to = {**dict(_PARAMETERS), **dict(parameters)}
    set_options = [text for key, value in set_to.items() for text in ("--setParameter", f"{key}={as_text(value)}")]
    argv = [str(each) for each in (*command, *bounds, *set_options)]
    return launch.process(name, argv, f"{name}.log", cwd=data_dir)


def wait_until_ready(
    processes: Sequence[ChildProcess], members: Sequence[ReplicaSetMember], timeout_s: float = READY_TIMEOUT_S
) -> None:
    """Wait until the members, just started, take writes; make them a replica set if they are none yet.

    Raises:
        UsageError: mongod does not take a parameter; says which.
        ProcessFailedError: one ended, or they did not get so far in time; shows the end of its log.
    """
    _wait_until(lambda client: _all_serve(client, members), "take writes", processes, members[0], timeout_s)


def wait_until_serving(process: ChildProcess, member: ReplicaSetMember, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until one member, started again, is primary or has caught up as a secondary.

    Raises:
        ProcessFailedError: it ended, or did not get so far in time; shows the end of its log.
    """
    _wait_until(_follows, "serve", [process], member, timeout_s)


def _follows(client: _Client) -> bool:
    """Whether a member is primary or has caught up as a secondary."""
    hello = client.admin.command("hello")
    return bool(hello.get("isWritablePrimary") or hello.get("secondary"))


def _wait_until(
    done: Callable[[_Client], bool],
    what: str,
    processes: Sequence[ChildProcess],
    member: ReplicaSetMember,
    timeout_s: float,
) -> None:
    """Ask ``member`` until it is ``done``; ``what`` it should do then, for the message if it does not."""
    deadline = time.monotonic() + timeout_s
    last: Exception | None = None
    with _Client(uri(member.port), serverSelectionTimeoutMS=500, connectTimeoutMS=500) as client:
        while True:
            for process in processes:
                _expect_running(process)
            try:
                if done(client):
                    return
            except PyMongoError as error:
                last = error
            if time.monotonic() > deadline:
                why = f" ({last})" if last else ""
                words = f"{processes[0].name} does not {what} after {timeout_s:g} s{why}; {processes[0].last_words()}"
                raise ProcessFailedError(words)
            time.sleep(_POLL_S)


def _expect_running(process: ChildProcess) -> None:
    """Raise UsageError if it ended because of a parameter, ProcessFailedError if because of anything else."""
    if process.running():
        return
    words = process.last_words()
    refused = re.findall(r"(?:\"errmsg\":\"|BadValue: )(.*(?:--setParameter|for parameter)[^}\n]*)", words)
    if refused:
        said = refused[-1].rstrip('"').rstrip(".")
        raise UsageError(f"mongod refuses a parameter: {said}. Write another one, or leave it out")
    raise ProcessFailedError(f"{process.name} {process.ending}; {words}")


def _all_serve(client: _Client, members: Sequence[ReplicaSetMember]) -> bool:
    """Whether the first member is primary and the others follow it; do what is missing for that."""
    try:
        found = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": _configured(members)})
        return False
    if [each["host"] for each in found["members"]] != [each.address for each in members]:
        # Data that were kept, on other ports than the last time.
        changed = {**found, "members": _configured(members), "version": found["version"] + 1}
        client.admin.command("replSetReconfig", changed, force=True)
        return False
    if len(members) == 1:
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    states = [each["stateStr"] for each in client.admin.command("replSetGetStatus")["members"]]
    if states.count("PRIMARY") == 1:
        return all(state in _SERVING for state in states)
    # Nobody is elected yet, and after a start that takes a member ten seconds to try.
    client.admin.command("replSetStepUp")
    return False


def _configured(members: Sequence[ReplicaSetMember]) -> list[dict[str, Any]]:
    return [{"_id": member.number - 1, "host": member.address} for member in members]
