"""The agent inside the broker that tells its counters over HTTP: Kafka itself tells them only to Java programs.

Jolokia listens on the loopback address, answers to reads alone (jolokia-access.xml), and does
nothing between two questions. Its server would, by Java's default, hold back a part of each answer.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import MissingPartError
from pipeline.local.ports import HOST

_ACCESS = Path(__file__).with_name("jolokia-access.xml")


def jvm_options(jar: Path, port: int) -> tuple[str, ...]:
    """Give the options with which a JVM answers at :func:`url`; it starts also where ``port`` is taken.

    Raises:
        MissingPartError: the jar is where Java cannot load an agent from.
    """
    settings = {
        "host": HOST,
        "port": str(port),
        "discoveryEnabled": "false",  # it would answer to multicasts
        "policyLocation": _ACCESS.as_uri(),
    }
    listed = ",".join(f"{name}={value}" for name, value in settings.items())
    # Java takes what stands behind the first equals sign for the agent's settings.
    if "=" in str(jar):
        raise MissingPartError(f"Java cannot load an agent from a path with an equals sign: {jar}")
    return ("-Dsun.net.httpserver.nodelay=true", f"-javaagent:{jar}={listed}")


def url(port: int) -> str:
    """Give the address to which questions are posted."""
    return f"http://{HOST}:{port}/jolokia/"
