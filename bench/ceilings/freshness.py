"""Ceilings as they are kept: what they depend on, how long they count, and how new ones are measured and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from msgspec import structs
from pymongo.errors import PyMongoError

from bench.ceilings import session, summary
from bench.ceilings.session import CeilingsRequest
from bench.cells.bounds import Bounds
from bench.errors import RepeatError
from bench.observe import machinecache
from bench.observe.environment import Environment
from bench.targets import marks
from bench.targets.servers import Servers
from bundle.ceilings import Ceilings
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Settings
from traffic.spec import Traffic

FRESH_S = 24 * 3_600.0
"""How long kept ceilings count; those that were measured beside other programs an hour."""
ROUNDS = 3
"""Of a session, unless something else is asked for."""
_FOLDER = "ceilings"
_ROOT = Path(__file__).resolve().parents[2]
# The code that decides what a bare loop does and with what it is fed.
_CODE = (
    *(f"bench/ceilings/{name}.py" for name in ("child", "consuming", "handler", "inserting", "loading", "loops")),
    *(f"bench/ceilings/{name}.py" for name in ("material", "meter", "producing", "session", "task")),
    "bench/load/preload.py",
    "bench/load/stubserver.py",
    "traffic/content.py",
    "traffic/sessions.py",
    "pipeline/messages/events.py",
    "pipeline/provision.py",
    "pipeline/sanicserver.py",
    "pipeline/store/*.py",
    "pipeline/worker/mapping.py",
)
_PACKAGES = ("python", "aiokafka", "motor", "msgspec", "numpy", "pymongo", "sanic", "uvloop", "kafka", "mongod", "java")


@dataclass(frozen=True)
class Place:
    """Where ceilings are measured: machine, servers (``where``: "local", or their addresses), and what else counts.

    ``here`` has the versions of the servers where they are known.
    """

    here: Environment
    servers: Servers
    where: str
    traffic: Traffic
    bounds: Bounds

    @property
    def settings(self) -> Settings:
        """How the servers are reached."""
        return self.servers.settings


def fingerprint(place: Place) -> str:
    """Return what ceilings depend on, as a checksum: machine, kernel, code, packages, servers and traffic."""
    kafka, mongo, worker = place.settings.kafka, place.settings.mongo, place.settings.worker
    dependencies = {
        "servers": place.where,
        "traffic": place.traffic,
        "settings": [
            kafka.event_types,
            kafka.generic_type,
            kafka.replication_factor,
            mongo.journal,
            worker.fetch_min_bytes,
            worker.fetch_max_wait_ms,
            worker.max_partition_fetch_bytes,
        ],
    }
    if place.servers.spec not in (None, StackSpec()):
        dependencies["stack"] = place.servers.spec
    return machinecache.fingerprint(place.here, _PACKAGES, _ROOT, _CODE, dependencies)


def kept(cache: Path, place: Place, wanted: CeilingsRequest) -> Ceilings | None:
    """Return fresh ceilings from ``cache``, with at least the loops and rounds of ``wanted``; None: there are none."""
    there = machinecache.find(cache / _FOLDER, fingerprint(place), Ceilings)
    if there is None:
        return None
    found, age_s = there
    disturbed = machinecache.is_disturbed(found.disturbance, place.bounds)
    names = {loop.name for loop in found.loops}
    fits = found.rounds >= wanted.rounds and all(loop.name in names for loop in wanted.loops)
    return found if fits and age_s <= (machinecache.DISTURBED_KEPT_S if disturbed else FRESH_S) else None


async def measure(
    cache: Path,
    place: Place,
    asked: CeilingsRequest,
    logs: Path,
    on_progress: Callable[[str], None],
    *,
    keep: bool = True,
) -> Ceilings:
    """Measure now, and leave what was found in ``cache`` if it is to be kept.

    Raises:
        TidemarkError: a loop could not be measured; the message says which.
    """
    began_s = time.monotonic()
    try:
        async with marks.marked(place.servers.settings, "ceilings", on_progress) as mark:
            repeats = await session.measure(asked, place.servers, logs, on_progress, mark.prefix)
    except (KafkaError, PyMongoError, TimeoutError) as error:
        raise RepeatError(f"the ceilings could not be measured: {type(error).__name__}: {error}") from error
    found = summary.conclude(
        asked,
        repeats,
        settings=place.settings,
        fingerprint=fingerprint(place),
        where=place.where,
        took_s=time.monotonic() - began_s,
    )
    # The parts are our own code: they are measured anew whenever they are asked for.
    if keep:
        machinecache.keep(cache / _FOLDER, structs.replace(found, parts=[], held=[]), found.fingerprint)
    return found


def where(settings: Settings, *, local: bool) -> str:
    """Say where the servers are: "local" where they are started for the session."""
    return "local" if local else f"{settings.kafka.bootstrap_servers} and {settings.mongo.shown_uri}"
