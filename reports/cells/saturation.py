"""What a repeat used, each number against its limit: the evidence from which a bottleneck is named.

docs/method.md has the rules in words; the thresholds stand here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from bundle.manifest import CellPlan
from bundle.result import Result
from reports import formats, names

MACHINE_BUSY = 0.9
"""Of all cores, what is not of the run included: from here on the machine's CPU is what is short."""
PROCESS_BUSY = 0.85
"""Of one core: from here on a process that computes in one thread, as Python does, is what is short."""
TICKETS_BUSY = 0.9
"""Of mongod's write tickets, in the mean: from here on writers wait for one another."""
JOURNAL_BUSY = 0.85
"""Of the time spent in syncs of the journal, which come one after the other."""
CACHE_DIRTY_TRIGGER = 0.2
"""Of WiredTiger's cache, dirty: from here on (its ``eviction_dirty_trigger``) writers have to evict."""
CACHE_USED_TRIGGER = 0.95
"""Of WiredTiger's cache, in use: from here on (its ``eviction_trigger``) all have to evict."""
HANDLERS_BUSY = 0.85
"""Of the time of Kafka's request handlers."""
MOST_REPEATS = 2 / 3
"""Of the repeats have to show it, for a limit to count as reached."""
MACHINE = "machine"
PYTHON_ROLES = ("worker", "api", "generator", "harness", "witness")
OBSERVERS = ("harness", "witness")


class LimitReading(Struct, frozen=True):
    """One number against its limit, in one repeat.

    ``limit``: what there is of it, as ``value`` in ``unit``; ``threshold``: the share of the limit from which on it is
    reached. ``role``: whose it is, or ``machine``.
    """

    key: str
    role: str
    what: str
    value: float
    limit: float
    unit: str
    threshold: float


class LimitUse(LimitReading, frozen=True):
    """The same over the repeats of a cell: ``value`` is their mean, and ``reached_in`` of ``repeats`` reached it."""

    reached_in: int
    repeats: int

    @property
    def share(self) -> float:
        """Used of what there is."""
        return self.value / self.limit

    @property
    def reached(self) -> bool:
        """Whether most repeats reached it."""
        return self.reached_in >= MOST_REPEATS * self.repeats

    @property
    def disputed(self) -> bool:
        """Whether some repeats reached it, and not most."""
        return self.reached_in > 0 and not self.reached

    @property
    def sentence(self) -> str:
        """The number and its limit in words: ``the machine's CPU 1.90 of 2 cores``."""
        if self.unit == "share":
            return f"{self.what} {formats.share(self.value)} (limit {formats.share(self.threshold * self.limit)})"
        digits = formats.cores if self.unit == "cores" else formats.rounded
        return f"{self.what} {digits(self.value)} of {formats.value(self.limit)} {self.unit}"


class Headroom(Struct, frozen=True):
    """What a role had left: the share unused of the limit that it was nearest to, and which limit that is."""

    role: str
    unused: float
    by: str


def evidence(plan: CellPlan, results: Sequence[Result], cores_there: float) -> tuple[LimitUse, ...]:
    """Hold what the repeats used against every limit that they have, the machine's CPU first."""
    found: dict[str, list[LimitReading]] = {}
    for result in results:
        for reading in _readings(plan, result, cores_there):
            found.setdefault(reading.key, []).append(reading)
    return tuple(_together(readings) for readings in found.values())


def headroom(results: Sequence[Result], evidence: Sequence[LimitUse], cores_there: float) -> tuple[Headroom, ...]:
    """Return what each role had left; a role that used nothing, or was not watched, is left out.

    Kafka and MongoDB compute in many threads: as far as CPU goes, they could use what no other role does.
    """
    found = [Headroom(MACHINE, _left(one.share), one.what) for one in evidence if one.role == MACHINE]
    used = mean_cores(results)
    idle = max(0.0, cores_there - sum(used.values()) - others_cores(results, cores_there))
    for role, cores in used.items():
        if cores <= 0 or role in OBSERVERS:  # it is not what is measured
            continue
        own = [Headroom(role, _left(one.share), one.what) for one in evidence if one.role == role]
        if role not in PYTHON_ROLES and cores_there:
            own.append(Headroom(role, idle / (idle + cores), "the machine's CPU"))
        if own:
            found.append(min(own, key=lambda each: each.unused))
    return tuple(found)


def mean_cores(results: Sequence[Result]) -> dict[str, float]:
    """Return the mean cores used by role over the repeats that report any, roles in their usual order."""
    cores = [result.cpu_cores_per_role for result in results if result.cpu_cores_per_role]
    roles = dict.fromkeys([*names.ROLE_NAMES, *(role for one in cores for role in one)])
    return {
        role: sum(one.get(role, 0.0) for one in cores) / len(cores)
        for role in roles
        if any(role in one for one in cores)
    }


def others_cores(results: Sequence[Result], cores_there: float) -> float:
    """Return the mean cores that went to other programs and to the host."""
    used = [result.disturbance.total for result in results if result.disturbance]
    return cores_there * sum(used) / len(used) if used else 0.0


def working_consumers(result: Result) -> int:
    """Count the consumers that have partitions."""
    return sum(not consumer.idle for consumer in result.consumers)


def _together(readings: Sequence[LimitReading]) -> LimitUse:
    first, count = readings[0], len(readings)
    return LimitUse(
        key=first.key,
        role=first.role,
        what=first.what,
        value=sum(one.value for one in readings) / count,
        limit=sum(one.limit for one in readings) / count,
        unit=first.unit,
        threshold=first.threshold,
        reached_in=sum(one.value >= one.threshold * one.limit for one in readings),
        repeats=count,
    )


def _readings(plan: CellPlan, result: Result, cores_there: float) -> Iterator[LimitReading]:
    used = sum(result.cpu_cores_per_role.values())
    if cores_there and used > 0:
        with_others = used + others_cores([result], cores_there)
        yield LimitReading("machine_cpu", MACHINE, "the machine's CPU", with_others, cores_there, "cores", MACHINE_BUSY)
    for role in PYTHON_ROLES:
        busiest = _busiest_process(plan, result, role)
        if busiest:
            what = f"the busiest {names.role(role)} process"
            yield LimitReading(f"{role}_process", role, what, busiest, 1.0, "cores", PROCESS_BUSY)
    yield from _of_mongodb(result)
    handlers = result.kafka_use.handlers_busy_share if result.kafka_use else None
    if handlers is not None:
        yield LimitReading("kafka_handlers", "kafka", "Kafka's request handlers", handlers, 1.0, "share", HANDLERS_BUSY)


def _of_mongodb(result: Result) -> Iterator[LimitReading]:
    use = result.mongodb_use
    if use is None:
        return
    if use.write_tickets_used_mean is not None and use.write_tickets:
        what, there = "MongoDB's write tickets", use.write_tickets
        yield LimitReading(
            "write_tickets", "mongodb", what, use.write_tickets_used_mean, there, "tickets", TICKETS_BUSY
        )
    shares = (
        ("journal", "MongoDB's journal syncs", use.journal_sync_share, 1.0, JOURNAL_BUSY),
        ("cache_dirty", "the dirty part of MongoDB's cache", use.cache_dirty_share_max, CACHE_DIRTY_TRIGGER, 1.0),
        ("cache_used", "MongoDB's cache", use.cache_used_share_max, CACHE_USED_TRIGGER, 1.0),
    )
    for key, what, share, limit, threshold in shares:
        if share is not None:
            yield LimitReading(key, "mongodb", what, share, limit, "share", threshold)


def _busiest_process(plan: CellPlan, result: Result, role: str) -> float | None:
    """Return the cores that a role's busiest process used; the mean of its processes where no more was recorded."""
    if role in result.busiest_process_cores_per_role:
        return result.busiest_process_cores_per_role[role]
    processes = {
        "worker": working_consumers(result),
        "api": int(plan.axes.get("api_processes") or 0),
        "generator": int(plan.axes.get("generator_processes") or 0),
        "harness": 1,
        "witness": 1,
    }[role]
    return result.cpu_cores_per_role.get(role, 0.0) / processes if processes else None


def _left(share: float) -> float:
    return max(0.0, 1.0 - share)
