"""What is stored: every document of a repeat's collection, counted and compared with what was sent.

Which event a document stands for is read from ``props.tidemark``, never from ``_id``: so the audit
sees two documents for one event, and a worker that makes ``_id`` from something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import bson
import numpy as np
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from numpy.typing import NDArray
from pymongo import MongoClient

from bench.offered import Offered, id_low_of_props
from pipeline.settings import Mongo

_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_MAX_EXAMPLES = 5
_COMPARE_MODULUS = 10_000

SentEvent = Callable[[int], Mapping[str, Any]]  # event index -> the event as it was sent


@dataclass(frozen=True)
class Documents:
    """``count_per_event``: documents found for each event, shape (events,); the rest are totals.

    ``foreign``: documents that stand for no event of the run. ``differences``: a few of them, in words.
    """

    count_per_event: NDArray[np.int64]
    total: int
    foreign: int
    compared: int
    differing: int
    differences: tuple[str, ...]


def scan(mongo: Mongo, offered: Offered, sent_event: SentEvent, compare_share: float) -> Documents:
    """Read the whole collection and compare the documents of ``compare_share`` (0 to 1) of the events.

    Raises:
        PyMongoError: MongoDB is away, or did not answer in ``mongo.timeout_ms``.
    """
    count = np.zeros(offered.events, dtype=np.int64)
    total = foreign = compared = differing = 0
    differences: list[str] = []
    limit = round(compare_share * _COMPARE_MODULUS)
    with MongoClient[dict[str, Any]](mongo.uri, serverSelectionTimeoutMS=mongo.timeout_ms) as client:
        collection = client[mongo.database][mongo.collection]
        for batch in collection.find_raw_batches({}, batch_size=10_000):
            documents = bson.decode_all(cast("bytes", batch), _OPTIONS)  # raw BSON, typed as a dict
            index = offered.index_of(
                np.array([id_low_of_props(each.get("props")) for each in documents], dtype=np.uint64)
            )
            total += len(documents)
            foreign += int((index < 0).sum())
            np.add.at(count, index[index >= 0], 1)
            for document, event_index in zip(documents, index.tolist(), strict=True):
                if event_index < 0 or event_index % _COMPARE_MODULUS >= limit:
                    continue
                compared += 1
                difference = _difference(document, sent_event(event_index))
                if difference:
                    differing += 1
                    if len(differences) < _MAX_EXAMPLES:
                        differences.append(f"document {document['_id']}: {difference}")
    return Documents(count, total, foreign, compared, differing, tuple(differences))


def expected_document(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document that ``event`` must become. Written apart from the worker's mapping, to judge it."""
    props = dict(event["props"])
    if "ref" in props and "referrer" not in props:
        props["referrer"] = props.pop("ref")
    sent_at = datetime.fromisoformat(event["timestamp"])
    identifier = event["event_id"].replace("-", "")
    seconds = (int(identifier[:12], 16) // 1000) % 2**32
    return {
        "_id": ObjectId(seconds.to_bytes(4, "big") + bytes.fromhex(identifier[16:])),
        "event_type": event["event"],
        "user_id": event["user_id"],
        "props": props,
        "timestamp": round(sent_at.timestamp() * 1000),
    }


def _difference(document: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """Say how ``document`` differs from what ``event`` must become, None if it does not."""
    expected = expected_document(event)
    found = {**document}
    if "timestamp" in found:
        found["timestamp"] = int(found["timestamp"]) if isinstance(found["timestamp"], DatetimeMS) else None
    if found == expected:
        return None
    fields = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    told = [f"{name} is {found.get(name)!r}, sent was {expected.get(name)!r}" for name in fields]
    return "; ".join(told)[:500]
