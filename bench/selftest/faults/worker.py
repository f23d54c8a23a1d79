"""A worker that does something wrong to one event, or to all of them.

The event of each fault is given by its sequence number in stream 0.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from pipeline.worker import batches, commits
from pipeline.worker.mapping import Record, document_of

_EVENT_MASK = (1 << 48) - 1
_BEYOND = 1 << 35  # more events than any run has
_COPY, _STRANGER = ObjectId(b"copied-event"), ObjectId(b"foreign-self")


def plant(**victims: int) -> None:
    """Do wrong to the event of stream 0 whose sequence number stands with each fault.

    ``lost``: never written, though committed. ``twice``: read twice. ``copied``: written twice, under another ``_id``.
    ``foreign``: a document of no event is written beside it. ``altered``: written with another user.
    ``id_from_offset``: all documents have an ``_id`` that says nothing of the event. And, with a number of its own,
    ``commit_every_ms``: what was stored is committed less often, so that a worker that is killed leaves some of it.
    """
    if "commit_every_ms" in victims:
        commits._INTERVAL_S = victims.pop("commit_every_ms") / 1000  # noqa: SLF001 - as below
    of_records = {name: event for name, event in victims.items() if name in ("lost", "twice")}
    if of_records:
        _plant_in_records(of_records)
    if len(victims) > len(of_records):
        _plant_in_documents(victims)


def _plant_in_records(victims: Mapping[str, int]) -> None:
    add = batches._add  # noqa: SLF001 - a fault is planted where nothing is meant to be

    def faulty(batch: batches.MappedBatch, records: Sequence[Record], size_bytes: int) -> None:
        kept = []
        for record in records:
            event = _event(document_of(record))
            kept += [record] * (0 if event == victims.get("lost") else 2 if event == victims.get("twice") else 1)
        add(batch, kept, size_bytes)

    batches._add = faulty  # noqa: SLF001 - likewise


def _plant_in_documents(victims: Mapping[str, int]) -> None:
    def faulty(record: Record) -> dict[str, Any]:
        document = document_of(record)
        event, props = _event(document), document["props"]
        if event == victims.get("copied"):
            _insert({**document, "_id": _COPY})
        if event == victims.get("foreign"):
            _insert({**document, "_id": _STRANGER, "props": {**props, "tidemark": props["tidemark"] + _BEYOND}})
        if event == victims.get("altered"):
            return {**document, "user_id": "somebody else"}
        if "id_from_offset" in victims:
            number = f"{record.partition}/{record.offset}/{record.topic[-4:]}".encode()
            return {**document, "_id": ObjectId(number.rjust(12, b"-")[-12:])}
        return document

    # They are imported there, which is what counts; without the one for many, all are mapped one by one.
    batches.document_of = faulty  # type: ignore[attr-defined]
    batches.documents_of = lambda _: None  # type: ignore[assignment, attr-defined]


def _event(document: Mapping[str, Any]) -> int:
    """Stream and sequence as one number: of stream 0 the sequence; -1 for what is no event of a run."""
    packed = document["props"].get("tidemark", -1)
    return int(packed) & _EVENT_MASK if packed >= 0 else -1


def _insert(document: dict[str, Any]) -> None:
    with MongoClient[dict[str, Any]](os.environ["PIPELINE_MONGO_URI"]) as client:
        database = client[os.environ["PIPELINE_MONGO_DATABASE"]]
        database[os.environ["PIPELINE_MONGO_COLLECTION"]].insert_one(document)
