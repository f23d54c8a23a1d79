"""The agent inside the broker that serves its counters over HTTP: Kafka shows them to Java programs only.

Jolokia listens on the loopback address, answers to reads alone (jolokia-access.xml), and does
nothing between two questions. Its server would, by Java's default, hold back a part of each answer.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import MissingPartError
from pipeline.local.ports import HOST

_ACCESS = Path(__file__).with_name("jolokia-access.xml")


def jvm_options(jar: Path, port: int) -> tuple[str, ...]:
    """Return the options with which a JVM answers at :func:`url`; it starts even if ``port`` is taken.

    Raises:
        MissingPartError: Java cannot load an agent from the jar's path.
    """
    settings = {
        "host": HOST,
        "port": str(port),
        "discoveryEnabled": "false",  # it would answer to multicasts
        "policyLocation": _ACCESS.as_uri(),
    }
    listed = ",".join(f"{name}={value}" for name, value in settings.items())
    # Java reads everything after the first equals sign as the agent's settings.
    if "=" in str(jar):
        remedy = "name another folder in PIPELINE_LOCAL_CACHE_DIR"
        raise MissingPartError(f"Java cannot load an agent from a path with an equals sign ({jar}): {remedy}")
    return ("-Dsun.net.httpserver.nodelay=true", f"-javaagent:{jar}={listed}")


def url(port: int) -> str:
    """Return the address to which questions are posted."""
    return f"http://{HOST}:{port}/jolokia/"
