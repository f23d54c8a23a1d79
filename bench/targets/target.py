"""The seam between the bench and what it measures: a system under test, as the harness sees it.

A :class:`System` is what can be measured: Tidemark's own pipeline, or another one. For each repeat it builds a
:class:`Target`, which runs under names of its own on the servers of the run, and is gone when the repeat is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.evidence.deliveries import Deliveries
from bench.targets.checkout import Checkout
from bundle.reported import REPORTS, Report
from pipeline.settings import Settings


@dataclass(frozen=True)
class Setup:
    """What a target is built for.

    ``settings``: where Kafka and MongoDB are, and the names on them that nobody else uses: topics, group, collection.
    ``folder``: of the repeat; what the processes print goes to ``logs`` in it. ``code``: the checkout to run, None for
    this one. ``recorded``: whether the target writes down what it can report of each event.
    """

    settings: Settings
    folder: Path
    consumers: int = 1
    dashboards: int = 0
    code: Checkout | None = None
    recorded: bool = True


class Target(Protocol):
    """A system under test during one repeat. It is started once; it may be stopped twice.

    What goes wrong is an error of :mod:`pipeline.errors` whose message names the target or its process.
    """

    @property
    def url(self) -> str:
        """Where requests go: ``POST /track`` and ``POST /track/batch``."""

    @property
    def roles(self) -> tuple[str, ...]:
        """What its processes do, one name each: ``api``, ``worker``."""

    async def provision(self) -> None:
        """Make what it needs on the servers."""

    async def start(self, *, through_http: bool) -> None:
        """Start its processes; return, in bounded time, when it takes events. ``through_http``: not in a drain."""

    async def admit(self) -> None:
        """Let its consumers begin to read; return, in bounded time, when all of them do."""

    def processes(self) -> Mapping[str, list[int]]:
        """Return the ids of the processes that run, by role; their children count with them."""

    def is_working(self) -> bool:
        """Whether there is a process that stores events."""

    def stop(self) -> list[str]:
        """End its processes in bounded time; return what went wrong, as findings that begin with ``crash:``."""

    def deliveries(self) -> Deliveries:
        """Return its own stamps, once it has ended; not asked for if the system does not report ``stamps``."""

    async def remove(self) -> None:
        """Remove all that is left of it on the servers."""


@dataclass(frozen=True)
class System:
    """A system that can be measured. ``reports``: what it reports; all else is left out of results, which say so.

    ``backlog`` is that of the consumer group of its settings on their event topics, ``documents`` are those of their
    collection, in the form of docs/bundle.md.
    """

    name: str
    build: Callable[[Setup], Target]
    reports: frozenset[Report] = frozenset(REPORTS)
