"""Where a run took place: versions, hardware, kernel and the revision of the code."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from bundle.manifest import Hardware

# The packages whose versions may move a result.
PACKAGES = (
    "aiokafka",
    "gevent",
    "httptools",
    "hdrhistogram",
    "locust",
    "motor",
    "msgspec",
    "numpy",
    "pandas",
    "pyarrow",
    "pymongo",
    "sanic",
    "scipy",
    "uvloop",
)
_GIT_TIMEOUT_S = 10.0
_HERE = Path(__file__).resolve().parents[2]
_CPUINFO = Path("/proc/cpuinfo")


class Environment(Struct, frozen=True):
    """All that a reader has to know to compare two runs. ``git_*`` are None where there is no git or no checkout."""

    versions: Mapping[str, str]
    hardware: Hardware
    kernel: str
    git_revision: str | None
    git_dirty: bool | None


def describe(servers: Mapping[str, str] | None = None) -> Environment:
    """Look at this machine and this checkout.

    ``servers``: versions that only the caller knows, by name (kafka, mongod, java).
    """
    versions = {"python": platform.python_version(), **_packages(), **(servers or {})}
    hardware = Hardware(_cpu(), _cores(), psutil.virtual_memory().total)
    changes = _git("status", "--porcelain")
    return Environment(
        versions=versions,
        hardware=hardware,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        git_revision=_git("rev-parse", "HEAD"),
        git_dirty=None if changes is None else bool(changes),
    )


def with_servers(environment: Environment, servers: Mapping[str, str]) -> Environment:
    """Return ``environment`` with the servers' versions, which are known only once they run."""
    return msgspec.structs.replace(environment, versions={**environment.versions, **servers})


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # uvloop is not everywhere, and the rest shows itself when it is missing
            continue
    return versions


def _cpu() -> str:
    """The processor's name as Linux names it, else what Python knows."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def _git(*arguments: str) -> str | None:
    """What git prints, or None where it is missing, fails or hangs, or this is no checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(
            [git, "-C", str(_HERE), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
