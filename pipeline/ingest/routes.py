"""What happens for a request to ``/track`` and ``/track/batch``, from its body to its answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from msgspec import Struct
from sanic import HTTPResponse, Request

from pipeline.errors import InvalidEventError, UnavailableError
from pipeline.ingest import answers
from pipeline.ingest.access import WriteAccess
from pipeline.ingest.admission import Admission, Reservation, ShareExceededError
from pipeline.ingest.answers import BatchAnswer, RefusedError, Rejected
from pipeline.ingest.bodies import BodyLimits, read_body, refuse_body
from pipeline.ingest.metrics import IngestMetrics
from pipeline.ingest.publishing.connection import RETRY_AFTER_S
from pipeline.ingest.publishing.publisher import Publisher
from pipeline.ingest.reading import EventReader, Taken
from pipeline.ingest.slices import TimeSlices
from pipeline.settings import Settings

_OK = int(HTTPStatus.OK)

Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]


class IngestDependencies(Struct, frozen=True):
    """What the handlers work with; one of each in a process."""

    settings: Settings
    admission: Admission
    publisher: Publisher
    access: WriteAccess
    metrics: IngestMetrics
    slices: TimeSlices


def track(dependencies: IngestDependencies) -> Handler:
    """Return the handler of ``POST /track``."""
    api = dependencies.settings.api
    reader = EventReader(dependencies.settings)
    limits = BodyLimits(
        max_bytes=min(api.max_event_bytes, api.max_body_bytes),
        max_decompressed_bytes=api.max_event_bytes,
        timeout_s=api.request_timeout_s,
        room_timeout_s=api.room_timeout_s,
        most_events=lambda _: 1,
    )

    async def one(request: Request, reservation: Reservation) -> HTTPResponse:
        with dependencies.slices.work() as work:
            body = await read_body(request, reservation, limits, work)
        received_ms = time.time_ns() // 1_000_000
        event_id, records = reader.one(body, received_ms)
        try:
            if reservation.events:
                reservation.exchange(1, records.size_bytes)
            elif not reservation.admit_at_once(1, records.size_bytes):
                await reservation.admit(1, records.size_bytes, api.room_timeout_s)
            submission = dependencies.publisher.publish(records, received_ms, reservation)
        except UnavailableError as error:
            raise _refusal(error, event_id) from error
        if not await submission.wait() or submission.failures:
            why = submission.failed(_in_doubt(api.publish_timeout_s))[0]
            raise _refusal(UnavailableError(why, RETRY_AFTER_S), event_id)
        dependencies.metrics.accepted.inc()
        return answers.accepted(event_id)

    return _answered("/track", dependencies, one)


def track_batch(dependencies: IngestDependencies) -> Handler:
    """Return the handler of ``POST /track/batch``."""
    api = dependencies.settings.api
    reader = EventReader(dependencies.settings)
    limits = BodyLimits(
        max_bytes=api.max_body_bytes,
        max_decompressed_bytes=api.max_decompressed_bytes,
        timeout_s=api.request_timeout_s,
        room_timeout_s=api.room_timeout_s,
        most_events=reader.most_events,
    )

    async def read(request: Request, reservation: Reservation) -> tuple[int, Taken]:
        with dependencies.slices.work() as work:
            body = await read_body(request, reservation, limits, work)
            received_ms = time.time_ns() // 1_000_000
            if reader.is_small(body):
                most_events = reader.most_events(len(body))
                # Admit before the work, which a refusal would waste; most requests are admitted already.
                if reservation.events < most_events and not reservation.admit_at_once(most_events, len(body)):
                    await reservation.admit(most_events, len(body), api.room_timeout_s)
                taken = reader.batch(body, received_ms)
                if taken is not None:
                    reservation.exchange(len(taken.places), taken.records.size_bytes)
                    return received_ms, taken
            reservation.exchange(0, len(body))  # long work waits for its turn; others can have its room for events
            taken = await reader.one_by_one(body, received_ms, reservation, work)
        if taken.places:
            await reservation.admit(len(taken.places), taken.records.size_bytes, api.room_timeout_s)
        return received_ms, taken

    async def batch(request: Request, reservation: Reservation) -> HTTPResponse:
        received_ms, taken = await read(request, reservation)
        rejected = taken.rejected
        failures: dict[int, str] = {}
        if taken.places:
            await dependencies.publisher.prepare(taken.records, dependencies.slices)
            submission = dependencies.publisher.publish(taken.records, received_ms, reservation)
            await submission.wait()
            failures = submission.failed(_in_doubt(api.publish_timeout_s))
            if failures:
                failed = (Rejected(taken.places[at], "unavailable", why) for at, why in failures.items())
                rejected = sorted([*rejected, *failed], key=_index)
        return _batch_answer(dependencies.metrics, len(taken.places) - len(failures), len(failures), rejected)

    return _answered("/track/batch", dependencies, batch)


def _answered(
    route: str, dependencies: IngestDependencies, handle: Callable[[Request, Reservation], Awaitable[HTTPResponse]]
) -> Handler:
    """The edge of a handler: admission opened and closed, errors turned into answers, everything counted."""
    access, metrics = dependencies.access, dependencies.metrics
    duration = metrics.duration.labels(route)
    succeeded = metrics.requests.labels(route, "200")

    async def answer(request: Request) -> HTTPResponse:
        started = time.perf_counter()
        reservation: Reservation | None = None
        try:
            reservation = dependencies.admission.open(access.client(request))
            response = await handle(request, reservation)
        except RefusedError as error:
            response = _refuse(request, error, metrics)
        except InvalidEventError as error:
            status = 413 if error.code == "event_too_large" else 400
            response = _refuse(request, RefusedError(status, error.code, str(error)), metrics)
        except UnavailableError as error:
            response = _refuse(request, _refusal(error, None), metrics)
        finally:
            if reservation is not None:
                reservation.release_unless_lent()
        duration.observe(time.perf_counter() - started)
        (succeeded if response.status == _OK else metrics.requests.labels(route, str(response.status))).inc()
        return access.allow(request, response)

    answer.__name__ = route.strip("/").replace("/", "_")
    return answer


def _refuse(request: Request, error: RefusedError, metrics: IngestMetrics) -> HTTPResponse:
    metrics.rejected.labels(error.code).inc()
    refuse_body(request)
    return answers.refused(error)


def _refusal(error: UnavailableError, event_id: str | None) -> RefusedError:
    """The answer for what cannot be taken now; with the id under which sending it again is safe."""
    if isinstance(error, ShareExceededError):
        refused = RefusedError(429, "too_many_requests", str(error), retry_after_s=error.retry_after_s)
    else:
        refused = RefusedError(503, "unavailable", str(error), retry_after_s=error.retry_after_s)
    refused.event_id = event_id
    return refused


def _batch_answer(metrics: IngestMetrics, accepted: int, unavailable: int, rejected: list[Rejected]) -> HTTPResponse:
    if accepted:
        metrics.accepted.inc(accepted)
    for each in rejected:
        metrics.rejected.labels(each.code).inc()
    if unavailable and not accepted:
        return answers.batch(BatchAnswer("error", 0, rejected), 503, RETRY_AFTER_S)
    return answers.batch(BatchAnswer("ok", accepted, rejected), 200, None)


def _in_doubt(timeout_s: float) -> str:
    return (
        f"Kafka has not acknowledged this within {timeout_s:g} s: it may be stored or not; "
        "sending it again with the same event_id stores it once"
    )


def _index(rejected: Rejected) -> int:
    return rejected.index
