"""What cells measured, one row a cell: stored of offered, percentiles, CPU and memory by role."""

from __future__ import annotations

from collections.abc import Sequence

from reports import formats
from reports.cells import reported
from reports.cells.bottleneck import ROLE_NAMES
from reports.cells.cells import Cell
from reports.tables import PERCENTILE_NAMES, Table, span, table
from stats.percentiles import PERCENTILES


def steady(cells: Sequence[Cell]) -> Table:
    """What cells with an offered load stored of it."""
    rows = []
    for cell in cells:
        interval = cell.throughput
        rows.append(
            [
                cell.label,
                formats.count(cell.offered_load),
                _stored(cell),
                span(interval),
                formats.share(cell.achieved),
                formats.count(cell.requests),
                f"{len(cell.valid)} of {len(cell.attempts)}",
            ]
        )
    heads = ["partitions × consumers", "offered load, events/s", "stored, events/s", "95% t interval", "achieved"]
    return table([*heads, "requests in the window", "valid attempts"], rows)


def _stored(cell: Cell) -> str:
    if cell.throughput is None and reported.lacks([repeat.result for repeat in cell.counted], "stamps"):
        return reported.NOT_REPORTED
    return formats.count(cell.throughput.mean if cell.throughput else None)


def percentiles(cells: Sequence[Cell], measure: str) -> Table:
    """Pooled percentiles of one measure in ms, where gated in, with the requests that they rest on."""
    rows, labels = [], _labels(cells)
    for cell in cells:
        distribution = cell.pooled.get(measure)
        values = [formats.milliseconds(cell.percentile(measure, q)) for q in PERCENTILES.values()]
        requests = [formats.count(cell.requests), formats.count(distribution.total if distribution else None)]
        rows.append([labels[cell.plan.id], *values, *requests])
    return table(
        ["partitions × consumers", *(f"{n}, ms" for n in PERCENTILE_NAMES.values()), "requests", "values"], rows
    )


def durations(cells: Sequence[Cell]) -> Table:
    """Pooled percentiles of delivery latency and response time side by side, in ms."""
    labels = _labels(cells)
    rows = [
        [
            labels[cell.plan.id],
            *(
                formats.milliseconds(cell.percentile(measure, q))
                for measure in ("delivery_latency", "response_time")
                for q in PERCENTILES.values()
            ),
            formats.count(cell.requests),
        ]
        for cell in cells
    ]
    first, *others = PERCENTILE_NAMES.values()
    heads = [f"delivery latency, ms: {first}", *others, f"response time, ms: {first}", *others]
    return table(["partitions × consumers", *heads, "requests"], rows, caption="Percentiles of each cell")


def _labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Name the cells by id, with their kind where there are several."""
    several = len({cell.plan.kind for cell in cells}) > 1
    return {cell.plan.id: cell.label_with_kind if several else cell.label for cell in cells}


def cpu(cells: Sequence[Cell], cores_there: float) -> Table:
    """Cores used by role in the window, against those there, and what bounds the cell."""
    roles = list(dict.fromkeys(role for cell in cells for role in cell.cores))
    rows = []
    for cell in cells:
        used = formats.cores(sum(cell.cores.values()) if cell.cores else None)
        bound = cell.bottleneck
        said = formats.NOTHING if bound is None else (bound.name or "not determined") + f": {bound.because}"
        rows.append([cell.label_with_kind, said, *(formats.cores(cell.cores.get(role)) for role in roles), used])
    there = f" of {formats.value(cores_there)}" if cores_there else ""
    return table(["cell", "bound by", *(ROLE_NAMES.get(r, r) for r in roles), f"all{there}"], rows, text=2)


def cpu_per_100k(cells: Sequence[Cell]) -> Table:
    """CPU-seconds for 100,000 stored events, by role; and the most memory that each role held."""
    roles = list(dict.fromkeys(role for cell in cells for role in cell.cores))
    rows = []
    for cell in cells:
        cost = cell.cpu_s_per_100k_events()
        rows.append(
            [
                cell.label_with_kind,
                *(formats.rounded(cost.get(role)) for role in roles),
                formats.rounded(sum(cost.values()) if cost else None),
                *(formats.size(cell.memory_max_bytes.get(role)) for role in roles),
            ]
        )
    names = [ROLE_NAMES.get(role, role) for role in roles]
    return table(["cell", *(f"{n}, CPU-s" for n in names), "all, CPU-s", *(f"{n}, memory" for n in names)], rows)
