"""The API's description in OpenAPI 3.0, made from the very types that requests are read with."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from pipeline.ingest.answers import BatchAnswer, Refusal
from pipeline.messages.events import Event
from pipeline.settings import Api

_JSON = "application/json"
_EXAMPLE = {"event": "page_view", "user_id": "123", "props": {"url": "/home", "ref": "google"}}
_REF = "#/components/schemas/{name}"

_Document = dict[str, Any]


class _Problem(TypedDict):
    description: str


def document(api: Api) -> bytes:
    """Return the description as JSON, with the bounds of ``api`` in it."""
    _, schemas = msgspec.json.schema_components((Event, BatchAnswer, Refusal), ref_template=_REF)
    schemas["Ok"] = {"type": "object", "properties": {"status": {"type": "string", "enum": ["ok"]}}}
    # An item that is not an event does not spoil the batch: 200, and it is in `rejected`.
    item = {"anyOf": [_ref("Event"), {"description": "Anything else is rejected by its index; the rest is taken."}]}
    schemas["Events"] = {"type": "array", "maxItems": api.max_batch_events, "minItems": 1, "items": item}
    schemas["Batch"] = {
        "oneOf": [
            {
                "type": "object",
                "required": ["events"],
                "additionalProperties": False,
                "properties": {"events": _ref("Events")},
            },
            _ref("Events"),
        ]
    }
    description: _Document = {
        "openapi": "3.0.3",
        "info": {
            "title": "Tidemark ingest",
            "version": "1",
            "description": (
                "Takes events and puts them on Kafka. An event is answered as accepted only after Kafka has "
                f"acknowledged it (acks={api.acks}). Sending an event again with the same `event_id` stores it once."
            ),
        },
        "paths": {
            "/track": {"post": _track(api)},
            "/track/batch": {"post": _track_batch(api)},
            "/health/live": _read("Whether the process answers.", {"200": "It does."}),
            "/health/ready": _read(
                "Whether events can be taken.", {"200": "They can.", "503": "Kafka is away, or has no topics."}
            ),
            "/metrics": _read("Metrics in Prometheus's text format.", {"200": "Of all processes together."}),
        },
        "components": {"schemas": schemas},
    }
    if api.write_keys:
        description["components"]["securitySchemes"] = _security_schemes()
        description["security"] = [{"header": []}, {"query": []}]
    return msgspec.json.encode(_as_3_0(description))


def _track(api: Api) -> _Document:
    headers = {"X-Event-Id": {"description": "The event's id, percent-encoded.", "schema": {"type": "string"}}}
    accepted = {"description": "Kafka has acknowledged the event.", "headers": headers, "content": _content("Ok")}
    return {
        "tags": ["events"],
        "summary": "Send one event",
        "requestBody": _body("Event", _EXAMPLE),
        "responses": {"200": accepted, **_problems(api, f"The event is larger than {api.max_event_bytes} bytes.")},
    }


def _track_batch(api: Api) -> _Document:
    done = {"description": "All events but those in `rejected` are acknowledged.", "content": _content("BatchAnswer")}
    problems = _problems(api, f"More than {api.max_batch_events} events, or than {api.max_body_bytes} bytes.")
    either = {
        "oneOf": [_ref("Refusal"), _ref("BatchAnswer")]
    }  # the latter where it was tried and failed event by event
    problems["503"]["content"] = {_JSON: {"schema": either}}
    return {
        "tags": ["events"],
        "summary": f"Send up to {api.max_batch_events} events",
        "description": 'An object `{"events": [...]}`, or the array alone.',
        "requestBody": _body("Batch", {"events": [_EXAMPLE]}),
        "responses": {"200": done, **problems},
    }


def _problems(api: Api, too_large: str) -> dict[str, _Document]:
    problems = {
        "400": "Malformed: which field, and why.",
        "408": f"The body was not there within {api.request_timeout_s:g} s.",
        "413": too_large,
        "415": "Neither application/json nor text/plain, or compressed otherwise than with gzip.",
        "503": "Kafka is away, or too much is in flight: nothing was accepted. Try again after Retry-After.",
    }
    if api.write_keys:
        problems["401"] = "No write key, or one that is not known."
    if len(api.write_keys) > 1:
        problems["429"] = "This write key holds more than its share of what may be in flight."
    return {status: {"description": why, "content": _content("Refusal")} for status, why in sorted(problems.items())}


def _body(schema: str, example: object) -> _Document:
    content = {"schema": _ref(schema), "example": example}
    return {"required": True, "content": {_JSON: content, "text/plain": content}}


def _read(summary: str, answers: dict[str, str]) -> _Document:
    responses = {status: _Problem(description=what) for status, what in answers.items()}
    operation = {"tags": ["operations"], "summary": summary, "responses": responses, "security": []}
    return {"get": operation, "head": {**operation, "summary": f"{summary} Without a body."}}


def _content(schema: str) -> _Document:
    return {_JSON: {"schema": _ref(schema)}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _security_schemes() -> _Document:
    return {
        "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
        "query": {"type": "apiKey", "in": "query", "name": "write_key"},
    }


def _as_3_0(node: Any) -> Any:
    """Rewrite what JSON Schema says and OpenAPI 3.0 does not: ``null`` as a type, ``examples`` of a value."""
    if isinstance(node, list):
        return [_as_3_0(each) for each in node]
    if not isinstance(node, dict):
        return node
    changed = {name: _as_3_0(each) for name, each in node.items()}
    choices = changed.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        others = [each for each in choices if each != {"type": "null"}]
        if len(others) == 1:
            del changed["anyOf"]
            changed = {**others[0], **changed, "nullable": True}
    if isinstance(changed.get("examples"), list):
        changed["example"] = changed.pop("examples")[0]
    return changed
