"""The commands that both drivers send, and what their replies and errors mean.

The plain ``insert`` command costs the client a third less CPU than ``insert_many``, but raises
neither for documents that were not written nor for a write concern that was not met: the reply is
checked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from msgspec import Struct
from pymongo.errors import DocumentTooLarge, InvalidOperation, OperationFailure, PyMongoError

from pipeline.errors import SettingError
from pipeline.settings import Mongo
from pipeline.store.errors import RefusedDocumentsError, StoreAwayError, TooLargeError, UnencodableError
from pipeline.store.seam import Cause, Document, InsertReply, WriteError

# Codes by which the server refuses one document for what it holds. Every other code says something
# about the server (not primary, no rights, disk full, ...): there waiting is right, and giving
# the event up would be wrong.
_CONTENT_CODES = frozenset(
    {
        2,  # BadValue, also: too large
        15,  # Overflow: nested too deeply
        52,  # DollarPrefixedFieldName
        55,  # InvalidDBRef
        56,  # EmptyFieldName
        57,  # DottedFieldName
        121,  # DocumentValidationFailure
        10334,  # BSONObjectTooLarge
        16755,  # a geo index of the user's own cannot take it
        17280,  # KeyTooLong
    }
)
# The same of a whole command. Fewer: as the answer to a command, BadValue and the like speak of
# the command itself, a write concern for instance.
_COMMAND_CONTENT_CODES = frozenset({15, 22, 10334})
_DUPLICATE_KEY = 11000
_MOST_NODES = 50  # of a replica set; the server refuses a larger w


class Concern(Struct, frozen=True):
    """What a write waits for: ``w`` nodes or "majority", the journal, and how long at most."""

    w: int | str
    journal: bool
    timeout_ms: int


def concern_of(mongo: Mongo) -> Concern:
    """Read the write concern from the settings.

    Raises:
        SettingError: neither "majority" nor a number from 1 to 50.
    """
    text = mongo.write_concern
    if text != "majority" and not (text.isdecimal() and 1 <= int(text) <= _MOST_NODES):
        remedy = 'say "majority" or a number of nodes from 1 to 50: only what was acknowledged may be committed'
        raise SettingError("PIPELINE_MONGO_WRITE_CONCERN", text, remedy)
    return Concern(text if text == "majority" else int(text), mongo.journal, mongo.timeout_ms)


def insert_command(collection: str, documents: Sequence[Document], concern: Concern) -> dict[str, Any]:
    """Give the command that inserts ``documents`` unordered."""
    return {
        "insert": collection,
        "ordered": False,
        "writeConcern": {"w": concern.w, "j": concern.journal, "wtimeout": concern.timeout_ms},
        "documents": documents,
    }


def insert_reply(reply: Mapping[str, Any], expected: int) -> InsertReply:
    """Read the server's reply to an insert of ``expected`` documents.

    Raises:
        StoreAwayError: the write concern was not met, or the reply does not account for every document.
    """
    errors = tuple(_write_error(error) for error in reply.get("writeErrors", ()))
    unmet = reply.get("writeConcernError")
    if unmet:
        raise StoreAwayError(f"the write was not acknowledged as asked: {unmet.get('errmsg', unmet)}")
    inserted = reply["n"]
    if inserted + len(errors) != expected:
        raise StoreAwayError(f"of {expected} documents the server reports {inserted} written, {len(errors)} failed")
    return InsertReply(inserted, errors)


def _write_error(error: Mapping[str, Any]) -> WriteError:
    code = error["code"]
    if code == _DUPLICATE_KEY:
        # A unique index of the user's own is no redelivery: that document will never fit.
        cause = Cause.SAME_ID if error.get("keyPattern", {"_id": 1}) == {"_id": 1} else Cause.CONTENT
    else:
        cause = Cause.CONTENT if code in _CONTENT_CODES else Cause.SERVER
    return WriteError(error["index"], cause, f"{error.get('errmsg', '')} (code {code})")


def without_password(uri: str) -> str:
    """Give ``uri`` as it may stand in a log or an error."""
    scheme, separator, rest = uri.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


@contextmanager
def told_apart() -> Iterator[None]:
    """Turn a driver's exceptions into those of :mod:`pipeline.store.errors`."""
    try:
        yield
    except DocumentTooLarge as error:  # before BSONError: it is a subclass of InvalidDocument
        raise TooLargeError(str(error)) from error
    except InvalidOperation:  # a closed client and the like: our own mistake, never the server's
        raise
    except OperationFailure as error:
        kind = RefusedDocumentsError if error.code in _COMMAND_CONTENT_CODES else StoreAwayError
        raise kind(f"{error} (code {error.code})") from error
    except PyMongoError as error:
        raise StoreAwayError(str(error)) from error
    except (BSONError, OverflowError, RecursionError, ValueError) as error:
        raise UnencodableError(str(error)) from error
