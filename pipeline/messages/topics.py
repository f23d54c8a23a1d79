"""Names of the topics: which one an event goes to, and which ones the workers read."""

from pipeline.settings import Kafka


def topic_of(event_type: str, kafka: Kafka) -> str:
    """Return the topic for ``event_type``: its own if the settings list the type, else the generic one."""
    known = event_type if event_type in kafka.event_types else kafka.generic_type
    return kafka.topic_prefix + known


def event_topics(kafka: Kafka) -> tuple[str, ...]:
    """Return the topics that workers subscribe to, the generic one last."""
    types = dict.fromkeys((*kafka.event_types, kafka.generic_type))
    return tuple(kafka.topic_prefix + each for each in types)
