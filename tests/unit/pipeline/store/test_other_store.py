"""Another store is one module: the worker's way from record to document, with one in memory in MongoDB's place.

In a process of its own, where MongoDB's client cannot even be imported.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.store import mongodb
from pipeline.store.seam import StoreModule
from tests.unit.pipeline.store import memory_store

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = """
import asyncio, sys
from types import SimpleNamespace

for name in ("bson", "pymongo", "motor"):
    sys.modules[name] = None
import pipeline
from importlib.machinery import ModuleSpec

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "pipeline.store.mongodb":
            from importlib.util import spec_from_file_location
            return spec_from_file_location(name, sys.argv[1])

sys.meta_path.insert(0, Finder)
from pipeline.settings import Mongo
from pipeline.store import open_store
from pipeline.worker.batches import batches_of
from pipeline.worker.metrics import WorkerMetrics
from pipeline.worker.writer import BatchWriter

def record(offset, user, number=1):
    value = b'{"event":"page_view","user_id":"%s","props":{"n":%d},"event_id":"e%d"}' % (user, number, offset)
    return SimpleNamespace(topic="t", partition=0, offset=offset, timestamp=5, key=b"k", value=value, headers=(),
                           serialized_value_size=len(value))

class Letters:
    reasons = []
    async def publish(self, refusals):
        self.reasons += [each.reason for each in refusals]

async def main():
    store = open_store(Mongo(), 1)
    writer = BatchWriter(store, Letters(), WorkerMetrics(), None, store_name="memory", retry_pause_s=0.001)
    same, other, large = record(1, b"anna"), record(1, b"ben"), record(3, b"carl", 1 << 70)
    for records in ([record(0, b"anna"), same], [same], [other], [record(2, b"dora"), large]):
        for batch in batches_of({"p": records}, fetched_ns=1, epoch=1, max_events=10, max_bytes=10_000):
            await asyncio.wait_for(writer.write(batch), 20)
    print(len(store.kept), Letters.reasons)

asyncio.run(main())
"""


def test_a_worker_writes_into_another_store_without_mongodb_s_client() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, memory_store.__file__ or ""],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 ['id_conflict', 'unencodable']\n"


def test_both_modules_are_stores_and_an_identifier_gives_its_bytes_back() -> None:
    for module in (mongodb, memory_store):
        as_store: StoreModule = module
        raw = bytes(range(12))
        assert as_store.bytes_of(as_store.identifier(raw)) == raw
        assert str(as_store.identifier(raw)) == raw.hex()
