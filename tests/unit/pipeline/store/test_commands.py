"""What the replies and errors of MongoDB mean for a batch."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.errors import InvalidDocument
from pymongo.errors import AutoReconnect, DocumentTooLarge, InvalidOperation, OperationFailure

from pipeline.errors import SettingError
from pipeline.settings import Mongo
from pipeline.store import (
    Cause,
    CommandFailedError,
    InsertReply,
    StoreAwayError,
    TooLargeError,
    UnencodableError,
    WriteError,
)
from pipeline.store.commands import concern_of, insert_command, insert_reply, store_errors


@pytest.mark.parametrize(("text", "w"), [("majority", "majority"), ("1", 1), ("3", 3)])
def test_write_concern_of_the_settings(text: str, w: int | str) -> None:
    command = insert_command("c", [], concern_of(Mongo(write_concern=text, journal=False, timeout_ms=70)))
    assert command["writeConcern"] == {"w": w, "j": False, "wtimeout": 70}
    assert command["ordered"] is False


@pytest.mark.parametrize("text", ["0", "", "-1", "51", "all", "1.5", "²"])
def test_write_concern_that_acknowledges_nothing_or_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="PIPELINE_MONGO_WRITE_CONCERN"):
        concern_of(Mongo(write_concern=text))


def test_reply_to_a_whole_batch() -> None:
    assert insert_reply({"n": 3, "ok": 1.0}, 3) == InsertReply(3, ())


def test_reply_names_the_cause_for_each_document() -> None:
    reply = {
        "n": 1,
        "writeErrors": [
            {"index": 0, "code": 11000, "keyPattern": {"_id": 1}, "errmsg": "dup"},
            {"index": 1, "code": 11000, "keyPattern": {"user_id": 1}, "errmsg": "dup"},
            {"index": 3, "code": 15, "errmsg": "deep"},
            {"index": 4, "code": 14031, "errmsg": "disk full"},
        ],
    }
    errors = insert_reply(reply, 5).errors
    assert [(each.position, each.cause) for each in errors] == [
        (0, Cause.SAME_ID),
        (1, Cause.UNKNOWN),
        (3, Cause.UNKNOWN),
        (4, Cause.SERVER),
    ]
    assert errors[3] == WriteError(4, Cause.SERVER, "disk full (code 14031)")


@pytest.mark.parametrize(
    "reply",
    [
        {"n": 2, "ok": 1.0},
        {"n": 2, "ok": 1.0, "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}},
        {"n": 1, "writeErrors": []},
    ],
)
def test_reply_that_does_not_acknowledge_every_document_is_no_success(reply: dict[str, Any]) -> None:
    with pytest.raises(StoreAwayError):
        insert_reply(reply, 2 if "writeConcernError" in reply else 3)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (AutoReconnect("gone"), StoreAwayError),
        (OperationFailure("not primary", 10107), StoreAwayError),
        (OperationFailure("not authorised", 13), StoreAwayError),
        (OperationFailure("bad value", 2), CommandFailedError),
        (OperationFailure("nested", 15), CommandFailedError),
        (DocumentTooLarge("17 MiB"), TooLargeError),
        (InvalidDocument("NUL"), UnencodableError),
        (OverflowError("8 bytes"), UnencodableError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), UnencodableError),
        (RecursionError("deep"), UnencodableError),
        (InvalidOperation("closed"), InvalidOperation),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_classified_by_what_is_to_be_done(raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected), store_errors():
        raise raised


def test_the_encoder_raises_errors_that_are_classified_as_unencodable() -> None:
    for props in ({"n": 2**63}, {"a\0b": 1}):
        with pytest.raises(UnencodableError), store_errors():
            bson.encode({"props": props})
