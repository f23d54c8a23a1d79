"""What happens for a request to ``/track`` and ``/track/batch``, from its body to its answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from msgspec import Struct
from sanic import HTTPResponse, Request

from pipeline.errors import InvalidEventError, UnavailableError
from pipeline.events import complete, message_of, read_event
from pipeline.ingest import answers
from pipeline.ingest.access import Access
from pipeline.ingest.admission import Admission, Hold, ShareExceededError
from pipeline.ingest.answers import BatchAnswer, RefusedError, Rejected
from pipeline.ingest.batches import BatchReader
from pipeline.ingest.bodies import discard_body, read_body
from pipeline.ingest.connection import RETRY_AFTER_S
from pipeline.ingest.metrics import IngestMetrics
from pipeline.ingest.publisher import Publisher
from pipeline.ingest.submission import Record, Submission
from pipeline.settings import Settings
from pipeline.topics import topic_of

MAX_RECORD_BYTES = 900_000
"""Of one event in Kafka. A broker's own default limit is 1 MiB, and JSON may grow when it is written anew."""

Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]


class Parts(Struct, frozen=True):
    """What the handlers work with; one of each in a process."""

    settings: Settings
    admission: Admission
    publisher: Publisher
    access: Access
    metrics: IngestMetrics


def track(parts: Parts) -> Handler:
    """Give the handler of ``POST /track``."""
    api = parts.settings.api
    topics = _Topics(parts.settings)

    async def one(request: Request, hold: Hold) -> HTTPResponse:
        body = await read_body(
            request,
            hold,
            max_bytes=min(api.max_event_bytes, api.max_body_bytes),
            max_decompressed_bytes=api.max_event_bytes,
            timeout_s=api.request_timeout_s,
        )
        received_ms = time.time_ns() // 1_000_000
        event = read_event(body)
        complete(event, received_ms)
        event_id = event.event_id or ""
        record = Record(0, topics[event.event], event.user_id.encode(), _bounded(message_of(event)))
        try:
            hold.exchange(1, len(record.key) + len(record.value))
            submission = parts.publisher.publish((record,), received_ms, hold)
            failure = await _failure(submission, api.publish_timeout_s)
        except UnavailableError as error:
            raise _refusal(error, event_id) from error
        if failure is not None:
            raise _refusal(failure, event_id)
        parts.metrics.accepted.inc()
        return answers.accepted(event_id)

    return _answered("/track", parts, one)


def track_batch(parts: Parts) -> Handler:
    """Give the handler of ``POST /track/batch``."""
    api = parts.settings.api
    topics = _Topics(parts.settings)
    reader = BatchReader(api.max_batch_events)

    async def batch(request: Request, hold: Hold) -> HTTPResponse:
        body = await read_body(
            request,
            hold,
            max_bytes=api.max_body_bytes,
            max_decompressed_bytes=api.max_decompressed_bytes,
            timeout_s=api.request_timeout_s,
        )
        received_ms = time.time_ns() // 1_000_000
        records: list[Record] = []
        rejected: list[Rejected] = []
        for place, data in enumerate(reader.split(body)):
            try:
                if len(memoryview(data)) > api.max_event_bytes:
                    raise _too_large(api.max_event_bytes)
                event = read_event(data)
                complete(event, received_ms)
                record = Record(place, topics[event.event], event.user_id.encode(), _bounded(message_of(event)))
            except InvalidEventError as error:
                rejected.append(Rejected(place, error.code, str(error)))
            else:
                records.append(record)
        unavailable = 0
        if records:
            hold.exchange(len(records), sum(len(record.key) + len(record.value) for record in records))
            submission = parts.publisher.publish(records, received_ms, hold)
            failures = await _failures(submission, api.publish_timeout_s)
            unavailable = len(failures)
            rejected.extend(failures)
            rejected.sort(key=_index)
        return _batch_answer(parts.metrics, len(records) - unavailable, unavailable, rejected)

    return _answered("/track/batch", parts, batch)


class _Topics(dict[str, str]):
    """The topic of each event type; the settings' own types are looked up, all others are generic."""

    def __init__(self, settings: Settings) -> None:
        super().__init__({each: topic_of(each, settings.kafka) for each in settings.kafka.event_types})
        self._generic = topic_of(settings.kafka.generic_type, settings.kafka)

    def __missing__(self, event_type: str) -> str:
        return self._generic


def _answered(route: str, parts: Parts, handle: Callable[[Request, Hold], Awaitable[HTTPResponse]]) -> Handler:
    """The edge of a handler: admission opened and closed, errors turned into answers, everything counted."""
    access, metrics = parts.access, parts.metrics
    duration = metrics.duration.labels(route)
    succeeded = metrics.requests.labels(route, "200")

    async def answer(request: Request) -> HTTPResponse:
        started = time.perf_counter()
        hold: Hold | None = None
        try:
            hold = parts.admission.open(access.client(request))
            response = await handle(request, hold)
        except RefusedError as error:
            response = await _refuse(request, error, metrics)
        except InvalidEventError as error:
            status = 413 if error.code == "event_too_large" else 400
            response = await _refuse(request, RefusedError(status, error.code, str(error)), metrics)
        except UnavailableError as error:
            response = await _refuse(request, _refusal(error, None), metrics)
        finally:
            if hold is not None:
                hold.release_unless_lent()
        duration.observe(time.perf_counter() - started)
        (succeeded if response.status == HTTPStatus.OK else metrics.requests.labels(route, str(response.status))).inc()
        return access.allow(request, response)

    answer.__name__ = route.strip("/").replace("/", "_")
    return answer


async def _refuse(request: Request, error: RefusedError, metrics: IngestMetrics) -> HTTPResponse:
    metrics.rejected.labels(error.code).inc()
    await discard_body(request)
    return answers.refused(error)


def _refusal(error: UnavailableError, event_id: str | None) -> RefusedError:
    """The answer for what cannot be taken now; with the id under which sending it again is safe."""
    if isinstance(error, ShareExceededError):
        refused = RefusedError(429, "too_many_requests", str(error), retry_after_s=error.retry_after_s)
    else:
        refused = RefusedError(503, "unavailable", str(error), retry_after_s=error.retry_after_s)
    refused.event_id = event_id
    return refused


async def _failure(submission: Submission, timeout_s: float) -> UnavailableError | None:
    """Why the one event of ``submission`` is not acknowledged; None where it is."""
    if not await submission.wait(timeout_s):
        return UnavailableError(_in_doubt(timeout_s), RETRY_AFTER_S)
    failure = submission.failures.get(0)
    return None if failure is None else UnavailableError(failure, RETRY_AFTER_S)


async def _failures(submission: Submission, timeout_s: float) -> list[Rejected]:
    """Those of the events of ``submission`` that are not acknowledged, and why."""
    if not await submission.wait(timeout_s):
        in_doubt = _in_doubt(timeout_s)
        failed = {**submission.failures, **dict.fromkeys(submission.pending, in_doubt)}
    else:
        failed = submission.failures
    return [Rejected(place, "unavailable", why) for place, why in failed.items()]


def _batch_answer(metrics: IngestMetrics, accepted: int, unavailable: int, rejected: list[Rejected]) -> HTTPResponse:
    if accepted:
        metrics.accepted.inc(accepted)
    for each in rejected:
        metrics.rejected.labels(each.code).inc()
    if unavailable and not accepted:
        return answers.batch(BatchAnswer("error", 0, rejected), 503, RETRY_AFTER_S)
    return answers.batch(BatchAnswer("ok", accepted, rejected), 200, None)


def _bounded(message: bytes) -> bytes:
    if len(message) > MAX_RECORD_BYTES:
        raise _too_large(MAX_RECORD_BYTES)
    return message


def _too_large(max_bytes: int) -> InvalidEventError:
    return InvalidEventError("event_too_large", f"the event is larger than {max_bytes} bytes")


def _in_doubt(timeout_s: float) -> str:
    return (
        f"Kafka has not acknowledged this within {timeout_s:g} s: it may be stored or not; "
        "sending it again with the same event_id stores it once"
    )


def _index(rejected: Rejected) -> int:
    return rejected.index
