"""The ids of topics, which aiokafka does not ask for: a topic that is created again has another id."""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_ID_BYTES = 16
_NO_ID = bytes(_ID_BYTES)


class _Id(AbstractType):  # type: ignore[misc]  # aiokafka ships no types
    """Kafka's UUID: 16 bytes as they are."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)


_text = CompactString("utf-8")
_nodes = CompactArray(Int32)
_tags = ("tags", TaggedFields)


class _MetadataResponse(Response):  # type: ignore[misc]  # as above
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _text), ("port", Int32), ("rack", _text), _tags)),
        ("cluster_id", _text),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _text),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _nodes),
                        ("isr", _nodes),
                        ("offline", _nodes),
                        _tags,
                    ),
                ),
                ("authorized_operations", Int32),
                _tags,
            ),
        ),
        _tags,
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]  # as above
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Id), ("topic", _text), _tags)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _tags,
    )


class _MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]  # as above
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        # The request must not create a topic that is missing.
        return request_struct_class([(_NO_ID, topic, {}) for topic in self._topics], False, False, {})


async def topic_ids(client: Any, topics: Collection[str]) -> dict[str, str]:
    """Return the id of each of ``topics`` that exists, in hexadecimal; none from a broker older than Kafka 3.

    ``client`` is aiokafka's, connected.

    Raises:
        KafkaError: no broker answered.
    """
    if not topics:
        return {}
    try:
        reply = await client.send(client.get_random_node(), _MetadataRequest(topics))
    except (NotImplementedError, IncompatibleBrokerVersion):
        return {}
    return {
        topic: topic_id.hex()
        for error_code, topic, topic_id, *_ in reply.topics
        if not error_code and topic_id != _NO_ID
    }
