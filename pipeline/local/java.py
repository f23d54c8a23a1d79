"""What all programs on the Java runtime are given: options, a class path, an environment, files of properties."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

# What Kafka's own start script gives the JVM.
OPTIONS = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    # A broker that lives for minutes: what the second compiler costs on a few cores it never earns back,
    # and its threads would compete with what is measured.
    "-XX:TieredStopAtLevel=1",
)
_JARS = "jars"
_BLANK, _DELETE = 0x20, 0x7F  # printable ASCII is between the two


def log4j2() -> tuple[str, ...]:
    """Return the options that make Kafka 4 log to its standard output."""
    return (f"-Dlog4j2.configurationFile={_beside('log4j2.properties')}",)


def reload4j() -> tuple[str, ...]:
    """Return the options that make Kafka 3.9 and ZooKeeper log to their standard output."""
    return (f"-Dlog4j.configuration={_beside('log4j.properties')}",)


def class_path(jars: Sequence[Path], data_dir: Path) -> str:
    """Link the jars' folder into ``data_dir`` and use that path: a class path cannot hold a folder with a colon."""
    link = data_dir / _JARS
    link.unlink(missing_ok=True)
    link.symlink_to(jars[0].parent.resolve(), target_is_directory=True)
    return os.pathsep.join(f"{_JARS}/{jar.name}" for jar in jars)


def environment() -> dict[str, str]:
    """Make Java read and write file names as UTF-8 in every locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def as_properties(values: Mapping[str, str]) -> str:
    """Return ``values`` as a Java properties file, in ASCII, with every value escaped; our names need no escape."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in values.items())


def _escaped(value: str) -> str:
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    # Blanks too: those at the beginning would be lost. Other characters are written as UTF-16 codes.
    return "".join(
        "\\" + chr(code) if chr(code) in "\\ " else chr(code) if _BLANK < code < _DELETE else f"\\u{code:04x}"
        for code in codes
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).as_uri()
