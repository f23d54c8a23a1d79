"""Names what bounds a cell, with the evidence: cores used against the cores there, processes against their one core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from reports import formats
from reports.schema import CellPlan, Result

MACHINE_BUSY = 0.85
"""Of all cores: above it the machine's CPU is what is short."""
PROCESS_BUSY = 0.85
"""Of one core: above it a process that computes in one thread is what is short."""
_WORTH_TELLING_CORES = 0.05
ROLE_NAMES = {
    "generator": "generator",
    "api": "API",
    "kafka": "Kafka",
    "worker": "worker",
    "mongodb": "MongoDB",
    "harness": "harness",
}
STAGE_NAMES = {
    "schedule_delay": "schedule delay",
    "http_and_api": "HTTP and API",
    "kafka_and_backlog": "Kafka and backlog",
    "write": "write",
}


class Bottleneck(Struct, frozen=True):
    """What bounds a cell. ``name`` is None where nothing was at its limit; ``evidence`` says what was seen."""

    name: str | None
    evidence: str


def name_bottleneck(
    plan: CellPlan,
    results: Sequence[Result],
    cores: Mapping[str, float],
    stages_ms: Mapping[str, float],
    cores_there: float,
) -> Bottleneck | None:
    """Judge by the CPU that the roles used in the window (``cores``, means); None where that was not recorded."""
    if not cores or sum(cores.values()) <= 0:
        return None
    used = sum(cores.values())
    beside = cores_there * _disturbance(results)
    largest = max(cores, key=lambda role: cores[role])
    largest_text = f"{ROLE_NAMES.get(largest, largest)} the most, {formats.cores(cores[largest])}"
    used_text = f"{formats.cores(used)} of {formats.value(cores_there or None)} cores used"
    if beside >= _WORTH_TELLING_CORES:
        used_text += f" and {formats.cores(beside)} by what is not of the run"
    process = _busy_process(plan, results, cores)
    if cores_there and used + beside >= MACHINE_BUSY * cores_there:
        also = f"; {process.evidence}" if process else ""
        return Bottleneck(ROLE_NAMES.get(largest, largest), f"the machine's CPU: {used_text}, {largest_text}{also}")
    if process:
        return Bottleneck(process.name, f"{process.evidence}; {used_text}")
    waiting = f"{used_text}, {largest_text}"
    if stages_ms:
        stage = max(stages_ms, key=lambda name: stages_ms[name])
        mean = f"{formats.milliseconds(stages_ms[stage])} of {formats.milliseconds(sum(stages_ms.values()))} ms"
        return Bottleneck(None, f"{waiting}; longest stage {STAGE_NAMES.get(stage, stage)}, {mean} in the mean")
    return Bottleneck(None, f"{waiting}; so the CPU does not bound it, and something that it waits for does")


def _disturbance(results: Sequence[Result]) -> float:
    """Mean share of the cores that went to other programs and to the host."""
    told = [result.disturbance.total for result in results if result.disturbance]
    return sum(told) / len(told) if told else 0.0


def _busy_process(plan: CellPlan, results: Sequence[Result], cores: Mapping[str, float]) -> Bottleneck | None:
    """Find a role whose processes each use nearly the one core that a Python process can."""
    working = max((sum(not consumer.idle for consumer in result.consumers) for result in results), default=0)
    processes = {
        "worker": working,
        "api": int(plan.axes.get("api_processes") or 0),
        "generator": int(plan.axes.get("generator_processes") or 0),
    }
    for role, number in processes.items():
        if number and cores.get(role, 0.0) / number >= PROCESS_BUSY:
            each = formats.cores(cores[role] / number)
            name = ROLE_NAMES[role]
            return Bottleneck(name, f"each {name} process uses {each} of the one core that it can ({number} of them)")
    return None
