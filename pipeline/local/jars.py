"""Kafka's jars, and its agent's: fetched once through jgo, kept in the cache, checked by their pins at each start."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from pipeline.errors import MissingPartError
from pipeline.local.kafkasettings import VERSION as KAFKA_VERSION

AGENT_VERSION = "2.6.0"
PINS_PATH = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.sha256")
AGENT_PINS_PATH = Path(__file__).with_name(f"jolokia-{AGENT_VERSION}.sha256")
WAYS_OUT = (
    "use servers of your own (set PIPELINE_KAFKA_BOOTSTRAP_SERVERS and PIPELINE_MONGO_URI), "
    "or run everything in containers (`docker compose up`)"
)

_DOWNLOADS_AT_ONCE = 4
_DOWNLOAD_TIMEOUT_S = 30
_REPORT_EVERY_S = 1.0
_MEGABYTE = 1e6


# Errors of a folder that cannot be written; a network has none of these.
LOCAL_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class Pin(Struct, frozen=True):
    """One jar that is needed, and what it must be. ``classifier``: Maven's, of a jar that is one of several."""

    sha256: str
    size_bytes: int
    group: str
    artifact: str
    version: str
    classifier: str = ""

    @property
    def file_name(self) -> str:
        """The jar's name in the cache and on the class path."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"


def read_pins(path: Path = PINS_PATH) -> tuple[Pin, ...]:
    """Return the pins of ``path``: lines of sha256, size in bytes, group:artifact:version[:classifier]."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return tuple(Pin(sha256, int(size), *coordinates.split(":")) for sha256, size, coordinates in lines)


def cache_folder(cache_dir: str) -> Path:
    """Return the folder for what may be fetched again: ``cache_dir`` if set, else this platform's place for it."""
    if cache_dir:
        return Path(cache_dir).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tidemark"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidemark"


def unusable(cache: Path, error: OSError) -> MissingPartError:
    """Return the error that says that the cache folder cannot be written, and what to do."""
    remedy = "make room there or make it writable, or name another folder in PIPELINE_LOCAL_CACHE_DIR"
    return MissingPartError(f"the cache folder {cache} cannot be written ({error.strerror}): {remedy}")


def kafka_jars(
    cache: Path, on_progress: Callable[[str], None], pins: tuple[Pin, ...] = (), *, version: str = KAFKA_VERSION
) -> tuple[Path, ...]:
    """Return the jars of a broker of ``version``, each one verified; fetch them if one is missing or was changed.

    Those of the version that has ZooKeeper are ZooKeeper's too.

    Raises:
        MissingPartError: they cannot be fetched, or what came is not what is pinned.
    """
    pinned = pins or read_pins(Path(__file__).with_name(f"kafka-{version}.sha256"))
    return _jars(cache / f"kafka-{version}", f"Kafka {version}", pinned, on_progress)


def agent_jar(cache: Path, on_progress: Callable[[str], None], pins: tuple[Pin, ...] = ()) -> Path:
    """Return the jar of the agent that reports a broker's counters, verified; fetch it as those of Kafka.

    Raises:
        MissingPartError: it cannot be fetched, or what came is not what is pinned.
    """
    what = f"the agent Jolokia {AGENT_VERSION}"
    (jar,) = _jars(cache / f"jolokia-{AGENT_VERSION}", what, pins or read_pins(AGENT_PINS_PATH), on_progress)
    return jar


def _jars(folder: Path, what: str, pins: tuple[Pin, ...], on_progress: Callable[[str], None]) -> tuple[Path, ...]:
    if any(_fault(folder / pin.file_name, pin) for pin in pins):
        try:
            _fetch(folder, what, pins, on_progress)
        # jgo raises RuntimeError if no repository has a file; requests' errors are OSErrors without a number.
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno in LOCAL_TROUBLE:
                raise unusable(folder.parent, error) from error
            message = f"{what} cannot be downloaded: {error}. Mend the network (proxies are read from the environment) and try again, or {WAYS_OUT}"  # noqa: E501
            raise MissingPartError(message) from error
    return tuple(folder / pin.file_name for pin in pins)


def _fault(path: Path, pin: Pin) -> str:
    """Say what is wrong with the jar at ``path``; nothing if it is what is pinned."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    return "" if found == pin.sha256 else f"has the SHA-256 {found}, and {pin.sha256} is pinned in {PINS_PATH.parent}"


def _fetch(folder: Path, what: str, pins: tuple[Pin, ...], on_progress: Callable[[str], None]) -> None:
    """Fetch everything into a folder beside ``folder``, verify it, and put it in its place at once."""
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415  a third of a second, needed once

    folder.parent.mkdir(parents=True, exist_ok=True)
    progress = _Progress(what, pins, on_progress)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder.parent) as name:
        resolver = PythonResolver(progress_callback=progress.of_jar)
        context = MavenContext(resolver, repo_cache=Path(name) / "repository", timeout=_DOWNLOAD_TIMEOUT_S)
        complete = Path(name) / "complete"
        complete.mkdir()

        def fetch(pin: Pin) -> None:
            jar = context.project(pin.group, pin.artifact).at_version(pin.version).artifact(pin.classifier).resolve()
            fault = _fault(jar, pin)
            if fault:
                raise MissingPartError(f"{pin.file_name} was downloaded and refused: it {fault}; {WAYS_OUT}")
            jar.rename(complete / pin.file_name)

        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for done in [pool.submit(fetch, pin) for pin in pins]:
                done.result()
        if folder.exists():  # damaged, or another process was quicker: one whole set is as good as another
            shutil.rmtree(folder)
        with contextlib.suppress(FileExistsError):
            complete.rename(folder)
    on_progress(f"{what} is downloaded to {folder}")


class _Progress:
    """Tells at most once a second how much has come; called from several threads."""

    def __init__(self, what: str, pins: tuple[Pin, ...], on_progress: Callable[[str], None]) -> None:
        self._what = what
        self._jars = len(pins)
        self._total_bytes = sum(pin.size_bytes for pin in pins)
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._done = 0
        self._bytes = 0
        self._reported_s = 0.0
        self._report()

    @contextlib.contextmanager
    def of_jar(self, _file_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        """Count one jar's bytes as they come, and the jar when it is whole."""
        yield self._add
        with self._lock:
            self._done += 1
            self._report()

    def _add(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            if time.monotonic() - self._reported_s >= _REPORT_EVERY_S:
                self._report()

    def _report(self) -> None:
        if 0 < self._done < self._jars and time.monotonic() - self._reported_s < _REPORT_EVERY_S:
            return
        self._reported_s = time.monotonic()
        self._on_progress(
            f"downloading {self._what}: {self._done} of {self._jars} jars, "
            f"{self._bytes / _MEGABYTE:.0f} of {self._total_bytes / _MEGABYTE:.0f} MB"
        )
