"""The settings of one cell's repeat: names of its own on the servers, and the values of the cell's axes."""

from __future__ import annotations

from msgspec import structs

from bench.cells.cellspec import CellSpec
from bench.matrix import stackaxes
from bench.targets import marks
from pipeline.local.ports import free_port
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings


def settings_for(base: Settings, cell: CellSpec, name: str) -> Settings:
    """Return the settings that make ``cell`` run under names of its own: topics, group and collection."""
    kafka = structs.replace(
        base.kafka,
        topic_prefix=f"{name}.",
        dead_letter_topic=f"{name}-dead-letters",
        partitions=cell.partitions,
        **_copies(cell),
    )
    mongo = structs.replace(
        base.mongo,
        database=marks.DATABASE,
        collection=name,
        driver=cell.driver,
        write_concern=cell.write_concern,
    )
    api = structs.replace(
        base.api,
        host="127.0.0.1",
        port=free_port(),
        processes=cell.api_processes,
        acks=cell.acks,
        linger_ms=cell.linger_ms,
        compression=cell.compression,
    )
    worker = structs.replace(base.worker, group_id=name, batch_max_events=cell.batch_max_events, metrics_port=0)
    dashboard = structs.replace(base.dashboard, group_id=f"{name}-dashboard", host="127.0.0.1")
    return structs.replace(base, kafka=kafka, mongo=mongo, api=api, worker=worker, dashboard=dashboard)


def _copies(cell: CellSpec) -> dict[str, int]:
    """Return the settings for the copies of the cell's topics; on the user's own servers none."""
    if cell.replication is None or cell.stack == StackSpec():
        return {}
    return {"replication_factor": cell.replication, "min_insync_replicas": stackaxes.least_in_sync(cell)}
