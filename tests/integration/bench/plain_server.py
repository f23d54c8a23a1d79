"""A plain system under test: HTTP in, MongoDB out, nothing between, and no part of Tidemark.

    python plain_server.py PORT MONGO_URI DATABASE COLLECTION [FAULT]

It takes the same requests and stores the same documents; it says nothing of when it did so. FAULT is what it does
wrong: ``dies`` or ``hangs`` at its start, ``deaf`` to SIGTERM, ``forgets`` the fifth event, stores it ``twice``.
"""

from __future__ import annotations

import itertools
import json
import signal
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bson import ObjectId
from pymongo import MongoClient, WriteConcern

FIFTH = 5


class Store:
    """The collection, and the fault."""

    def __init__(self, uri: str, database: str, collection: str, fault: str) -> None:
        durable = WriteConcern("majority", j=True)
        self._documents = MongoClient(uri)[database].get_collection(collection, write_concern=durable)
        self._fault = fault
        self._numbers = itertools.count(1)

    def add(self, events: list[dict[str, Any]]) -> None:
        """Store ``events``; return when they are durable."""
        documents = [document_of(event) for event in events]
        fifth = next((each for each in documents if next(self._numbers) == FIFTH), None)
        if fifth is not None and self._fault == "forgets":
            documents.remove(fifth)
        if fifth is not None and self._fault == "twice":
            documents.append({**fifth, "_id": ObjectId()})
        if documents:
            self._documents.insert_many(documents, ordered=False)


def document_of(event: dict[str, Any]) -> dict[str, Any]:
    """The document that docs/identifiers.md and the README promise for an event with a UUIDv7."""
    digits = event["event_id"].replace("-", "")
    props = dict(event["props"])
    if "ref" in props:
        props["referrer"] = props.pop("ref")
    return {
        "_id": ObjectId((int(digits[:12], 16) // 1000 % 2**32).to_bytes(4, "big") + bytes.fromhex(digits[16:])),
        "event_type": event["event"],
        "user_id": event["user_id"],
        "props": props,
        "timestamp": datetime.fromisoformat(event["timestamp"]),
    }


class Handler(BaseHTTPRequestHandler):
    """Answers once the events of a request are stored."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: Store

    def do_GET(self) -> None:
        """Answer that it runs."""
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        """Take one event, or a batch."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = body["events"] if self.path == "/track/batch" else [body]
        self.store.add(events)
        self._answer({"status": "ok"})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def main(port: str, uri: str, database: str, collection: str, fault: str = "") -> None:
    if fault == "dies":
        sys.exit("the licence has expired")
    while fault == "hangs":
        time.sleep(1)
    Handler.store = Store(uri, database, collection, fault)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    if fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
