"""One mongod as a replica set of its own, as a child process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from pipeline.errors import ProcessFailedError
from pipeline.local.ports import HOST
from pipeline.local.process import ChildProcess

READY_TIMEOUT_S = 60.0

_REPLICA_SET = "rs0"
_CACHE_GB = 1
_OPLOG_MB = 1024
_NOT_YET_INITIALIZED = 94
_POLL_S = 0.05


def uri(port: int) -> str:
    """Give the URI of the local mongod."""
    return f"mongodb://{HOST}:{port}/?directConnection=true"


def prepare(
    *, mongod: Path, port: int, data_dir: Path, log_path: Path, scratch: Path | None = None, niceness: int = 0
) -> ChildProcess:
    """Give the process to start; ``data_dir`` is made if it is not there."""
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [mongod, "--port", port, "--bind_ip", HOST, "--dbpath", data_dir, "--replSet", _REPLICA_SET]
    bounds = ["--wiredTigerCacheSizeGB", _CACHE_GB, "--oplogSize", _OPLOG_MB]
    # Its one member has nobody to hand over to when it ends: no need to wait for that.
    quick = ["--nounixsocket", "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
    # Its own diagnostics would write to the disk that is measured.
    quiet = ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    argv = [str(each) for each in (*command, *bounds, *quick, *quiet)]
    return ChildProcess("mongod", argv, log_path=log_path, cwd=data_dir, scratch=scratch, niceness=niceness)


def wait_until_ready(mongod: ChildProcess, port: int, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until mongod, just started, takes writes; make it a replica set of one if it is none yet.

    Raises:
        ProcessFailedError: it ended, or did not get so far in time; shows the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    last: Exception | None = None
    with MongoClient[Mapping[str, Any]](uri(port), serverSelectionTimeoutMS=500, connectTimeoutMS=500) as client:
        while True:
            try:
                if _is_primary(client, port):
                    return
            except PyMongoError as error:
                last = error
            if not mongod.running():
                raise ProcessFailedError(f"mongod ended with exit code {mongod.returncode}; {mongod.last_words()}")
            if time.monotonic() > deadline:
                message = f"mongod does not take writes after {timeout_s:g} s ({last}); {mongod.last_words()}"
                raise ProcessFailedError(message)
            time.sleep(_POLL_S)


def _is_primary(client: MongoClient[Mapping[str, Any]], port: int) -> bool:
    member = {"_id": 0, "host": f"{HOST}:{port}"}
    try:
        found = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": [member]})
        return False
    if [each["host"] for each in found["members"]] != [member["host"]]:
        # Data that was kept, on another port than the last time.
        changed = {**found, "members": [member], "version": found["version"] + 1}
        client.admin.command("replSetReconfig", changed, force=True)
        return False
    return bool(client.admin.command("hello").get("isWritablePrimary"))
