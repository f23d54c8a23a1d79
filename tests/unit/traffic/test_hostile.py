"""Hostile requests: the same every time, and none of them one that the API could take for an event."""

import gzip
from collections import Counter

import msgspec
import pytest

from pipeline.errors import InvalidEventError
from pipeline.messages.events import read_event
from pipeline.settings import Api
from traffic import hostile
from traffic.payload import Payload

CASES = {payload.name: payload for payload in map(hostile.payload, range(500))}


def test_all_cases_come_round_and_the_largest_body_rarely() -> None:
    counted = Counter(hostile.payload(number).name for number in range(1000))
    assert counted["hostile: body too large"] == 2
    assert len(counted) == 20
    assert min(count for name, count in counted.items() if name != "hostile: body too large") > 40


def test_the_same_number_is_the_same_request() -> None:
    assert [hostile.payload(each) for each in range(30)] == [hostile.payload(each) for each in range(30)]


@pytest.mark.parametrize("name", [name for name, payload in CASES.items() if payload.path == "/track"])
def test_no_hostile_body_is_an_event_within_the_apis_bounds(name: str) -> None:
    assert _refused(CASES[name])


def _refused(payload: Payload) -> bool:
    api = Api()
    if dict(payload.headers)["Content-Type"] != "application/json":
        return True
    body = payload.body
    if dict(payload.headers).get("Content-Encoding") == "gzip":
        try:
            body = gzip.decompress(body)
        except gzip.BadGzipFile:
            return True
        return len(body) > api.max_decompressed_bytes
    if len(body) > api.max_event_bytes:
        return True
    try:
        read_event(body)
    except InvalidEventError:
        return True
    return False


def test_the_batches_are_none_or_too_long() -> None:
    batches = [payload for payload in CASES.values() if payload.path == "/track/batch"]
    lengths = [len(msgspec.json.decode(payload.body)["events"]) for payload in batches]
    assert sorted(lengths) == [len("all"), Api().max_batch_events + 1]
