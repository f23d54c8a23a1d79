"""A worker with a planted fault, for the audit to find: Python runs this file at start if it is on PYTHONPATH.

``TIDEMARK_FAULT`` names the fault. The victim is the event with sequence 7 of stream 0.
"""

import os
import sys

VICTIM = 7
SEQUENCE_MASK = (1 << 36) - 1


def is_victim(props):
    return props.get("tidemark", -1) & SEQUENCE_MASK == VICTIM


def plant(fault):
    from bson import ObjectId  # noqa: PLC0415 - in a worker only, not in every Python that starts

    from pipeline.worker import batches  # noqa: PLC0415 - likewise

    document_of, add = batches.document_of, batches._add

    def id_from_the_offset(record):
        document = document_of(record)
        number = f"{record.partition}/{record.offset}/{record.topic[-4:]}".encode()
        return {**document, "_id": ObjectId(number.rjust(12, b"-")[-12:])}

    def wrong_content(record):
        document = document_of(record)
        return {**document, "user_id": "somebody else"} if is_victim(document["props"]) else document

    def copied(record):
        document = document_of(record)
        if is_victim(document["props"]):
            insert_copy({**document, "_id": ObjectId()})
        return document

    def dropped(batch, records, size_bytes):
        add(batch, [each for each in records if not is_victim(document_of(each)["props"])], size_bytes)

    if fault == "dropped":
        batches._add = dropped
    else:
        batches.document_of = {
            "id-from-offset": id_from_the_offset,
            "wrong-content": wrong_content,
            "copied": copied,
        }[fault]


def insert_copy(document):
    from pymongo import MongoClient  # noqa: PLC0415 - likewise

    with MongoClient(os.environ["PIPELINE_MONGO_URI"]) as client:
        database = client[os.environ["PIPELINE_MONGO_DATABASE"]]
        database[os.environ["PIPELINE_MONGO_COLLECTION"]].insert_one(document)


if sys.orig_argv[-1] == "worker" and os.environ.get("TIDEMARK_FAULT"):
    plant(os.environ["TIDEMARK_FAULT"])
