"""All members of a stack's replica set: started, started again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.local import mongodb
from pipeline.local.launch import Launch, numbered
from pipeline.local.mongodb import ReplicaSetMember
from pipeline.local.process import ChildProcess
from pipeline.local.stackspec import Given


class ReplicaSet:
    """The processes of one replica set; ``start`` blocks until it takes writes and all members follow."""

    def __init__(self, members: Sequence[ReplicaSetMember], launch: Launch, *, mongod: Path, parameters: Given) -> None:
        """``parameters``: of every member, beside ours."""
        self.members = tuple(members)
        self.processes: tuple[ChildProcess, ...] = ()
        self._launch = launch
        self._mongod = mongod
        self._parameters = parameters

    def start(self) -> None:
        """Start all and wait until they serve.

        Raises:
            ProcessFailedError: one did not come up; shows the end of its log.
        """
        self.processes = tuple(self._prepare(member) for member in self.members)
        for each in self.processes:
            each.start()
        self.wait_until_ready()

    def wait_until_ready(self, timeout_s: float = mongodb.READY_TIMEOUT_S) -> None:
        """Wait until there is a primary and the others follow it; raises ProcessFailedError."""
        mongodb.wait_until_ready(self.processes, self.members, timeout_s)

    def start_again(self, number: int) -> None:
        """Start a member (from 1) that has ended, and wait until it serves; raises ProcessFailedError."""
        self.processes[number - 1].start()
        mongodb.wait_until_serving(self.processes[number - 1], self.members[number - 1])

    def _prepare(self, member: ReplicaSetMember) -> ChildProcess:
        name = numbered("mongod", member.number, len(self.members))
        return mongodb.prepare(
            mongod=self._mongod,
            member=member,
            name=name,
            launch=self._launch,
            parameters=self._parameters,
        )
