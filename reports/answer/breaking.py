"""What breaks first above the load that a search found held: by which criterion, in which stage, on which resource.

It follows from the valid probes of the lowest load above the answer that was not sustained. What they do not decide is
not determined, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from bundle.capacity import CapacityAnswer
from bundle.reading import Repeat
from bundle.result import Result
from reports import formats, names
from reports.answer import objective
from reports.cells import bottleneck
from reports.cells.cells import Cell

NOTHING_BROKE, NOT_DETERMINED = "nothing", "not determined"
_SHORT = {
    "machine_cpu": "the machine's CPU",
    "worker_process": "a worker's core",
    "api_process": "the API's core",
    "generator_process": "the generator's core",
    "harness_process": "the harness's core",
    "witness_process": "the witness's core",
    "write_tickets": "MongoDB's write tickets",
    "journal": "MongoDB's journal",
    "cache_dirty": "MongoDB's cache",
    "cache_used": "MongoDB's cache",
    "kafka_handlers": "Kafka's handlers",
}


class Broke(Struct, frozen=True, kw_only=True):
    """What broke first above a cell's load.

    ``criterion``: what was no longer met; None if nothing broke, or what broke is not determined. ``resource``: what
    was used up; None if that is not determined. ``because``: the evidence, or why there is none.
    """

    criterion: str | None
    resource: str | None = None
    load_events_per_s: float | None = None
    because: str = ""
    nothing_broke: bool = False

    @property
    def short(self) -> str:
        """The words for a table: ``delivery latency: the machine's CPU``."""
        if self.criterion is None:
            return NOTHING_BROKE if self.nothing_broke else NOT_DETERMINED
        return f"{self.criterion}: {self.resource or 'cause ' + NOT_DETERMINED}"


def find(cell: Cell, cores_there: float) -> Broke | None:
    """Judge a capacity cell; None for other kinds, and if its search has not ended."""
    found = cell.capacity
    if found is None:
        return None
    if not cell.beyond:
        return _nothing(cell, found)
    results = [repeat.result for repeat in cell.beyond]
    missed = list(dict.fromkeys(each for result in results for each in _missed(result, found)))
    load = results[0].offered_load_events_per_s
    probes = formats.plural(len(results), "probe")
    where = f"at {formats.rounded(load)} events/s, the lowest load above it that was not sustained ({probes})"
    if not missed:
        return Broke(criterion=None, load_events_per_s=load, because=f"{where}, no criterion stands out")
    bound = bottleneck.at_limit(cell.plan, results, cores_there)
    resource = _SHORT.get(bound.resource, bound.name) if bound.determined else None
    parts = ["; ".join(words for _, words in missed), *_stage(cell.beyond), bound.because]
    return Broke(
        criterion=missed[0][0],
        resource=resource,
        load_events_per_s=load,
        because=f"{where}: {'; '.join(parts)}",
    )


def _nothing(cell: Cell, found: CapacityAnswer) -> Broke:
    """The case that no valid probe above the answer failed: nothing broke, or the deciding probes are void."""
    answer = found.sustainable_events_per_s or 0.0
    above = [r.result for r in cell.attempts if (r.result.offered_load_events_per_s or 0.0) > answer]
    void = sum(not result.valid for result in above)
    valid = [result.offered_load_events_per_s or 0.0 for result in above if result.valid]
    if void:
        why = f"{formats.plural(void, 'probe')} above {formats.rounded(answer)} events/s {_ARE[void > 1]} void"
        return Broke(criterion=None, because=f"{why}: {found.ended}")
    if valid:
        highest = formats.rounded(max(valid))
        return Broke(criterion=None, because=f"up to {highest} events/s no probe failed clearly: {found.ended}")
    return Broke(criterion=None, nothing_broke=True, because=f"no higher load was offered: {found.ended}")


_ARE = {False: "is", True: "are"}


def _missed(result: Result, found: CapacityAnswer) -> Iterator[tuple[str, str]]:
    """Yield what a probe did not meet, the gravest first: the criterion and its numbers."""
    probe, audit = result.probe, result.audit
    if probe is None:
        return
    yield from (("findings", text) for text in result.findings)
    if audit.lost:
        yield "losses", f"{audit.lost:,} accepted events lost"
    refused = audit.rejected + audit.in_doubt
    if refused and any("rejected" in why or "in doubt" in why for why in probe.why):
        yield "refusals", f"{refused:,} of {audit.offered:,} events refused or in doubt"
    for asked in objective.find(found.objective):
        measured = getattr(result, f"{asked.measure}_ms")
        value = getattr(measured, asked.percentile, None)
        if value is not None and value > asked.limit_ms:
            limit = formats.milliseconds(asked.limit_ms)
            yield asked.measure.replace("_", " "), f"{asked.name} {formats.milliseconds(value)} ms of {limit} allowed"
    if result.kept_up is False:
        judged = result.keeping_up or probe
        deficit, allowed = judged.deficit_events_per_s, judged.allowed_events_per_s
        grew = f"{formats.rounded(deficit)} events/s more accepted than stored, {formats.rounded(allowed)} allowed"
        yield "backlog", grew


def _stage(beyond: Sequence[Repeat]) -> list[str]:
    """Say in which stage the events around the p99 spent the most time, in the probe where they took longest."""
    cohorts = [cohort for repeat in beyond for cohort in repeat.result.cohorts if cohort.name == "p99"]
    if not cohorts:
        return ["no stages were recorded"]
    slowest = max(cohorts, key=lambda cohort: cohort.delivery_latency_ms)
    stage = max(slowest.stages_ms, key=lambda name: slowest.stages_ms[name])
    spent, whole = formats.milliseconds(slowest.stages_ms[stage]), formats.milliseconds(slowest.delivery_latency_ms)
    return [f"around its p99 {spent} of {whole} ms were spent in the stage {names.STAGE_NAMES.get(stage, stage)}"]
