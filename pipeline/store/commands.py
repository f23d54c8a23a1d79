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
from pipeline.store.errors import CommandFailedError, StoreAwayError, TooLargeError, UnencodableError
from pipeline.store.seam import Cause, Document, InsertReply, WriteError

# Codes about the server itself. For every other code, a second try between control writes shows whether it is about the
# document. These never are, although a control write may succeed: on another shard, or a moment later.
_SERVER_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        13,  # Unauthorized
        18,  # AuthenticationFailed
        26,  # NamespaceNotFound
        50,  # MaxTimeMSExpired
        64,  # WriteConcernTimeout
        73,  # InvalidNamespace
        79,  # UnknownReplWriteConcern
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        100,  # CannotSatisfyWriteConcern
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        166,  # CommandNotSupportedOnView
        189,  # PrimarySteppedDown
        262,  # ExceededTimeLimit
        365,  # TemporarilyUnavailable
        391,  # ReauthenticationRequired
        8000,  # Atlas: over the quota and the like
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11601,  # Interrupted
        11602,  # InterruptedDueToReplStateChange
        13388,  # StaleConfig
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
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
    """Return the command that inserts ``documents`` unordered."""
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
        # A conflict in the user's own unique index is not a redelivery.
        cause = Cause.SAME_ID if error.get("keyPattern", {"_id": 1}) == {"_id": 1} else Cause.UNKNOWN
    else:
        cause = Cause.SERVER if code in _SERVER_CODES else Cause.UNKNOWN
    return WriteError(error["index"], cause, f"{error.get('errmsg', '')} (code {code})")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a driver's exceptions into those of :mod:`pipeline.store.errors`."""
    try:
        yield
    except DocumentTooLarge as error:  # before BSONError: it is a subclass of InvalidDocument
        raise TooLargeError(str(error)) from error
    except InvalidOperation:  # a closed client and the like: our own mistake, never the server's
        raise
    except OperationFailure as error:
        kind = StoreAwayError if error.code in _SERVER_CODES else CommandFailedError
        raise kind(f"{error} (code {error.code})") from error
    except PyMongoError as error:
        raise StoreAwayError(str(error)) from error
    except (BSONError, OverflowError, RecursionError, ValueError) as error:
        raise UnencodableError(str(error)) from error
