"""One file of a bundle: JSON from and to a typed Struct, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bundle.errors import BundleError, SchemaVersionError
from bundle.version import SCHEMA_VERSION

MAX_BYTES = 64 * 2**20
_Content = TypeVar("_Content", bound=Struct)  # Python 3.11 has no type parameters yet


class _Version(Struct, frozen=True):
    schema_version: Any = None


def read(path: Path, kind: type[_Content]) -> _Content:
    """Read a JSON file of a bundle.

    Raises:
        SchemaVersionError: it is of another schema version.
        BundleError: it is not there, cannot be read, or does not fit the schema.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} is larger than {MAX_BYTES} bytes: it is not what the bench writes")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): name the folder of a run") from error
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise SchemaVersionError(path, version, SCHEMA_VERSION)
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path} is damaged: {error}") from error


def write(path: Path, content: Struct) -> None:
    """Write ``content`` as JSON, by write and rename, and make it durable.

    Raises:
        OSError: it cannot be written; what was there before is kept.
        ValueError: it holds an infinite number or NaN, which JSON does not have.
    """
    partial = path.with_name(path.name + ".writing")
    encoded = encode(content)
    try:
        with partial.open("wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def encode(content: Struct) -> bytes:
    """Return ``content`` as JSON.

    Raises:
        ValueError: it holds an infinite number or NaN, which JSON does not have.
    """
    text = json.dumps(msgspec.to_builtins(content), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def sync_directory(path: Path) -> None:
    """Make a rename in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
