"""How roles and stages are called in sentences, tables and figures."""

from __future__ import annotations

ROLE_NAMES = {
    "generator": "generator",
    "api": "API",
    "kafka": "Kafka",
    "worker": "worker",
    "mongodb": "MongoDB",
    "dashboard": "dashboard",
    "harness": "harness",
    "witness": "witness",
}
STAGE_NAMES = {
    "schedule_delay": "schedule delay",
    "http_and_api": "HTTP and API",
    "kafka_and_backlog": "Kafka and backlog",
    "write": "write",
}


def role(key: str) -> str:
    """Name a role; one that is not known is called as it is written."""
    return ROLE_NAMES.get(key, key)
