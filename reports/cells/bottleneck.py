"""Names what bounds a cell, by which evidence, what the other roles had left, and which axis to turn next.

The rules are those of docs/method.md ("What breaks first"), in this order: a limit that was reached, the load
that was offered, consumers without a partition. Where none of them explains it, reports/cells/neighbours.py looks on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, structs

from bundle.capacity import CapacityAnswer
from bundle.manifest import CellPlan
from bundle.result import Result
from reports import formats, names
from reports.cells import reported, saturation
from reports.cells.axes import CONSUMERS, PARTITIONS
from reports.cells.saturation import Headroom, LimitUse
from reports.names import ROLE_NAMES, STAGE_NAMES

__all__ = ["ROLE_NAMES", "STAGE_NAMES", "Bottleneck", "find"]

SECONDS_ENOUGH = 3.0
"""Measured, over all repeats: use is sampled once a second, and fewer samples show nothing."""
KEPT_UP = 0.98
"""Stored of offered in the window: what reports/advice/proof.py still judges by."""
UNEVEN = 1.5
"""Records of the busiest consumer by the mean of those that work: from here on the work is not shared evenly."""
LOOP_LATE_MS = 50.0
"""An event loop that wakes so late, in the median of the seconds' worst, is named where nothing is determined."""
_UNSEEN = f"stages and the lag of event loops: {reported.NOT_REPORTED}"
OFFERED_LOAD, IDLE, UNKNOWN, THIN = "offered_load", "partitions", "unknown", "thin"


class Bottleneck(Struct, frozen=True, kw_only=True):
    """What bounds a cell.

    ``resource``: the key of the evidence whose limit was reached, or one of this module's; ``role``: whose it is.
    ``name``: in words, None where it is not ``determined``; ``because``: in one sentence. ``next_axis``: the axis of
    the matrix to turn next, None where none would help; ``next_why`` says why, or what else would.
    """

    resource: str
    role: str | None = None
    name: str | None = None
    determined: bool = False
    because: str = ""
    evidence: tuple[LimitUse, ...] = ()
    headroom: tuple[Headroom, ...] = ()
    next_axis: str | None = None
    next_why: str = ""


class _Seen(NamedTuple):
    """What a verdict rests on."""

    plan: CellPlan
    results: Sequence[Result]
    cores_there: float
    evidence: tuple[LimitUse, ...]


def find(
    plan: CellPlan,
    results: Sequence[Result],
    cores_there: float,
    stages_ms: Mapping[str, float],
    *,
    capacity: CapacityAnswer | None = None,
    beyond: Sequence[Result] = (),
) -> Bottleneck | None:
    """Judge a cell by the repeats that count; None where there are none.

    Of a capacity cell ``results`` are the probes of its answer, and ``beyond`` those of the lowest load above it that
    was not sustained: what is at its limit there is what bounds the cell.
    """
    if not results:
        return None
    seen = _Seen(plan, results, cores_there, saturation.evidence(plan, results, cores_there))
    found = _thin(seen) or _at_its_limit(seen)
    if found is None and beyond:
        above = _Seen(plan, beyond, cores_there, saturation.evidence(plan, beyond, cores_there))
        found = _at_its_limit(above)
        if found:
            load = formats.rounded(beyond[0].offered_load_events_per_s)
            found = structs.replace(found, because=f"at {load} events/s, not sustained any more: {found.because}")
    found = found or _offered_load(seen, capacity) or _idle(seen) or _unknown(seen, stages_ms, beyond)
    if reported.lacks(results, "stamps"):
        found = structs.replace(found, because=f"{found.because}; {_UNSEEN}")
    if found.headroom or not seen.evidence:
        return found
    return structs.replace(
        found, headroom=saturation.headroom(results, seen.evidence, cores_there), evidence=seen.evidence
    )


def at_limit(plan: CellPlan, results: Sequence[Result], cores_there: float) -> Bottleneck:
    """Name the limit that these repeats reached; not determined where they reached none, or recorded too little."""
    seen = _Seen(plan, results, cores_there, saturation.evidence(plan, results, cores_there))
    nothing = Bottleneck(
        resource=UNKNOWN, because="; ".join(_disputed(seen) or [_watched(seen)]), evidence=seen.evidence
    )
    return _thin(seen) or _at_its_limit(seen) or nothing


def _thin(seen: _Seen) -> Bottleneck | None:
    """Find that there is too little to judge by."""
    if not any(sum(result.cpu_cores_per_role.values()) > 0 for result in seen.results):
        return _too_thin("no CPU was recorded")
    if not seen.cores_there:
        return _too_thin("the number of cores is not known")
    measured_s = sum(result.window.end_s - result.window.start_s for result in seen.results if result.window)
    if measured_s < SECONDS_ENOUGH:
        why = f"only {formats.rounded(measured_s)} s were measured, and use is sampled once a second"
        return structs.replace(_too_thin(why), next_why="measure longer: more events, or more seconds")
    return None


def _too_thin(because: str) -> Bottleneck:
    return Bottleneck(resource=THIN, because=because)


def _at_its_limit(seen: _Seen) -> Bottleneck | None:
    """Name the first limit that was reached: the machine's CPU, which all share, before those of single roles."""
    reached = next((one for one in seen.evidence if one.reached), None)
    if reached is None:
        return None
    also = "; ".join(one.sentence for one in seen.evidence if one.reached and one is not reached)
    found = _machine(seen, reached) if reached.role == saturation.MACHINE else _of_role(seen, reached)
    return structs.replace(
        found,
        because=found.because + (f"; also {also}" if also else ""),
        evidence=seen.evidence,
        headroom=saturation.headroom(seen.results, seen.evidence, seen.cores_there),
    )


def _machine(seen: _Seen, reached: LimitUse) -> Bottleneck:
    """All cores are used: by the roles of the run, or by what is beside it."""
    used = saturation.mean_cores(seen.results)
    others = saturation.others_cores(seen.results, seen.cores_there)
    largest = max(used, key=lambda role: used[role])
    each = ", ".join(f"{names.role(role)} {formats.cores(cores)}" for role, cores in _by_size(used))
    beside = f", and {formats.cores(others)} by what is not of the run" if others >= _WORTH_NAMING_CORES else ""
    if reached.value - others < reached.threshold * reached.limit:
        next_why = "leave the machine to the run: without other programs and stolen CPU its cores are not all used"
    else:
        share = formats.share(used[largest] / sum(used.values()))
        next_why = (
            f"no axis adds cores: more of them, or less CPU for an event in {names.role(largest)}, which uses {share} "
            f"of what the roles use, or a role on a machine of its own"
        )
    return Bottleneck(
        resource=reached.key,
        role=largest,
        name=f"the machine's CPU ({names.role(largest)} uses the most)",
        determined=True,
        because=f"{reached.sentence} used: {each}{beside}{_in_the_kernel(seen.results)}",
        next_why=next_why,
    )


_WORTH_NAMING_CORES = 0.05
_MUCH_IN_THE_KERNEL = 0.4


def _in_the_kernel(results: Sequence[Result]) -> str:
    """Say where much of the roles' CPU went to system calls: small requests, the network, the disk."""
    system = sum(sum(result.cpu_system_cores_per_role.values()) for result in results)
    user = sum(sum(result.cpu_user_cores_per_role.values()) for result in results)
    if system + user <= 0 or system / (system + user) < _MUCH_IN_THE_KERNEL:
        return ""
    return f"; {formats.share(system / (system + user))} of what the roles use is spent in the kernel"


def _by_size(used: Mapping[str, float]) -> list[tuple[str, float]]:
    worth = [(role, cores) for role, cores in used.items() if cores >= _WORTH_NAMING_CORES]
    return sorted(worth, key=lambda pair: -pair[1])


def _of_role(seen: _Seen, reached: LimitUse) -> Bottleneck:
    axis, why = _next(seen, reached)
    return Bottleneck(
        resource=reached.key,
        role=reached.role,
        name=_NAMES.get(reached.key, names.role(reached.role)),
        determined=True,
        because=reached.sentence,
        next_axis=axis,
        next_why=why,
    )


_NAMES = {
    "write_tickets": "MongoDB (write tickets)",
    "journal": "MongoDB (journal)",
    "cache_dirty": "MongoDB (cache)",
    "cache_used": "MongoDB (cache)",
}
_NEXT = {
    "api_process": ("api_processes", "each API process computes in one thread"),
    "generator_process": ("generator_processes", "the generator, and not the system, was the limit"),
    "harness_process": (None, "the harness itself was short of CPU: what observes disturbed"),
    "witness_process": (None, "the witness was short of CPU: what observes disturbed"),
    "write_tickets": ("batch_max_events", "writers wait for one another in MongoDB: fewer and larger writes"),
    "journal": (
        "batch_max_events",
        "each write waits for a sync of the journal: fewer and larger writes, or a faster disk",
    ),
    "cache_dirty": (None, "MongoDB writes less fast to disk than it gets: a faster disk, or a larger cache"),
    "cache_used": (None, "MongoDB's cache is full: a larger one, or a smaller collection"),
    "kafka_handlers": (None, "Kafka's request handlers are busy: more of them (num.io.threads), or larger batches"),
}


def _next(seen: _Seen, reached: LimitUse) -> tuple[str | None, str]:
    """Which axis would relieve a role, and why."""
    if reached.key != "worker_process":
        return _NEXT[reached.key]
    uneven = _uneven(seen.results)
    if uneven:
        axis = "key_skew" if seen.plan.axes.get("key_skew") else PARTITIONS
        return axis, f"{uneven}: another consumer would not take from the busiest"
    working = max(saturation.working_consumers(result) for result in seen.results)
    there = max(result.partitions_total for result in seen.results)
    if there and working >= there:
        return PARTITIONS, f"each of the {formats.plural(there, 'partition')} has a consumer of its own already"
    return CONSUMERS, "each consumer computes in one thread"


def _uneven(results: Sequence[Result]) -> str:
    """Say where one consumer reads far more than the others."""
    shares = []
    for result in results:
        records = [consumer.records for consumer in result.consumers if not consumer.idle]
        if len(records) > 1 and any(records):
            shares.append(max(records) / (sum(records) / len(records)))
    if not shares or sum(shares) / len(shares) < UNEVEN:
        return ""
    return f"the busiest consumer reads {formats.rounded(sum(shares) / len(shares))} times the mean"


def _offered_load(seen: _Seen, capacity: CapacityAnswer | None) -> Bottleneck | None:
    """Nothing was at its limit, and all that was offered was stored: there was no more to do."""
    if capacity is not None:
        kept_up = capacity.sustainable_events_per_s is not None and capacity.high_events_per_s is None
    else:
        kept_up = all(result.kept_up for result in seen.results)
    if not kept_up:
        return None
    near = "; ".join(
        f"at its limit in {_in_repeats(one)}: {one.sentence} in the mean" for one in seen.evidence if one.disputed
    )
    return Bottleneck(
        resource=OFFERED_LOAD,
        name="the offered load",
        determined=True,
        because="not saturated at this load: what was offered was stored" + (f"; {near}" if near else ""),
        next_axis=None if capacity is not None else "offered_load",
        next_why=_HIGHER_SEARCH if capacity is not None else "offer more, or search with a capacity cell",
    )


_HIGHER_SEARCH = "the search found no load that is not sustained: let it offer more"


def _in_repeats(one: LimitUse) -> str:
    return f"{one.reached_in} of {formats.plural(one.repeats, 'repeat')}"


def _idle(seen: _Seen) -> Bottleneck | None:
    """Consumers without a partition: more of them can do nothing, more partitions can."""
    idle = max(len([consumer for consumer in result.consumers if consumer.idle]) for result in seen.results)
    if not idle:
        return None
    there = max(result.partitions_total for result in seen.results)
    return Bottleneck(
        resource=IDLE,
        role="worker",
        name="the number of partitions",
        determined=True,
        because=f"{formats.plural(idle, 'consumer')} had none of the {formats.plural(there, 'partition')}, "
        "and no other limit was reached",
        next_axis=PARTITIONS,
        next_why="a partition is read by one consumer: more partitions let the idle ones work",
    )


def _disputed(seen: _Seen) -> list[str]:
    return [
        f"{one.sentence} in the mean, and at its limit in {_in_repeats(one)}" for one in seen.evidence if one.disputed
    ]


def _watched(seen: _Seen) -> str:
    return "nothing that was watched was at its limit: " + ", ".join(
        one.sentence for one in seen.evidence[:_MOST_NAMED]
    )


def _unknown(seen: _Seen, stages_ms: Mapping[str, float], beyond: Sequence[Result]) -> Bottleneck:
    """Nothing explains it: say what is known, and what would show it."""
    said = _disputed(seen) or [_watched(seen)]
    if stages_ms:
        stage = max(stages_ms, key=lambda name: stages_ms[name])
        mean = f"{formats.milliseconds(stages_ms[stage])} of {formats.milliseconds(sum(stages_ms.values()))} ms"
        said.append(f"longest stage {names.STAGE_NAMES.get(stage, stage)}, {mean} in the mean")
    said += [f"above it: {why}" for result in beyond[:1] if result.probe for why in result.probe.why]
    for role in names.ROLE_NAMES:
        late = [result.event_loop_lag_ms[role].median_ms for result in seen.results if role in result.event_loop_lag_ms]
        if late and sum(late) / len(late) >= LOOP_LATE_MS:
            said.append(
                f"the event loop of {names.role(role)} woke {formats.milliseconds(sum(late) / len(late))} ms late"
            )
    if any(result.mongodb_use is None for result in seen.results):
        said.append("MongoDB's own counters were not recorded")
    if reported.lacks(seen.results, "stamps"):
        return Bottleneck(resource=UNKNOWN, because="; ".join(said))  # its axes are not known either
    working = max(saturation.working_consumers(result) for result in seen.results)
    there = max(result.partitions_total for result in seen.results)
    axis = CONSUMERS if working < there else PARTITIONS
    return Bottleneck(
        resource=UNKNOWN,
        because="; ".join(said),
        next_axis=axis,
        next_why="the parts wait for one another: if more in parallel is faster, it was too little parallelism",
    )


_MOST_NAMED = 3
