"""What the API answered, and what that means for the events of the request."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby

import msgspec
from msgspec import Struct

from traffic.ledger import Outcome


class Refused(Struct, frozen=True):
    """One event of a batch that was not accepted, and why."""

    index: int
    code: str = ""


class Answer(Struct, frozen=True):
    """``status`` is the HTTP status, 0 for no answer, and then ``error`` says why there is none."""

    status: int
    content_bytes: int = 0
    refused: tuple[Refused, ...] = ()
    error: str = ""


class _BatchBody(Struct):
    rejected: tuple[Refused, ...] = ()


# HTTPStatus's members take long to look up, and this is asked three times a request.
_ACCEPTED = range(HTTPStatus.OK.value, HTTPStatus.MULTIPLE_CHOICES.value)
_DECODER = msgspec.json.Decoder(_BatchBody)


def answer_of(status: int, body: bytes, *, batch: bool) -> Answer:
    """Return the answer with ``status`` and ``body``; of a batch's 2xx the list of what was not accepted is read."""
    if not batch or not _accepted(status):
        return Answer(status, len(body))
    try:
        return Answer(status, len(body), _DECODER.decode(body).rejected)
    except msgspec.DecodeError:
        # Another server than ours, with a body of its own: its status is all that it promises.
        return Answer(status, len(body))


def outcomes_of(answer: Answer, events: int) -> list[tuple[Outcome, int]]:
    """Return runs of (outcome, number of events) that together are all ``events`` of the request, in order."""
    if not answer.status:
        return [(Outcome.IN_DOUBT, events)]
    if not _accepted(answer.status):
        return [(Outcome.REJECTED, events)]
    if not answer.refused:
        return [(Outcome.ACCEPTED, events)]
    refused = {each.index for each in answer.refused}
    outcomes = (Outcome.REJECTED if index in refused else Outcome.ACCEPTED for index in range(events))
    return [(outcome, len(list(run))) for outcome, run in groupby(outcomes)]


def failure_of(answer: Answer, *, hostile: bool) -> str | None:
    """Return what Locust's statistics shall call the failure, None for a success. A small set of texts."""
    if not answer.status:
        return answer.error or "no answer"
    if hostile:
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        return f"HTTP {answer.status} to a request that deserves a 4xx"
    if not _accepted(answer.status):
        return f"HTTP {answer.status}"
    if answer.refused:
        return f"events of a batch rejected: {answer.refused[0].code or 'no code'}"
    return None


def _accepted(status: int) -> bool:
    return status in _ACCEPTED
