"""What events say: a pure function of who they are, shaped by the traffic's parameters."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic import identity, sessions
from traffic.content import Content
from traffic.spec import Traffic

SMALL = Traffic(table_events=512)
CONTENT = Content(SMALL, seed=1, run=9)
MOMENT_MS = 1_764_158_400_123  # 2025-11-26T12:00:00.123Z


@settings(deadline=None)
@given(st.integers(0, 4095), st.integers(0, (1 << 36) - 1), st.integers(0, 1 << 42))
def test_what_is_encoded_is_the_event(stream: int, sequence: int, unix_ms: int) -> None:
    event = CONTENT.event(stream, sequence, unix_ms)
    assert msgspec.json.decode(CONTENT.encode(stream, sequence, unix_ms)) == event
    packed = identity.pack(9, stream, sequence)
    assert event["event_id"] == identity.event_id(unix_ms, packed)
    assert event["props"]["tidemark"] == packed
    moment = datetime.fromisoformat(event["timestamp"])
    assert moment == datetime.fromtimestamp(unix_ms // 1000, UTC).replace(microsecond=unix_ms % 1000 * 1000)
    assert list(event) == ["event", "user_id", "props", "timestamp", "event_id"]


@settings(deadline=None)
@given(st.integers(0, 4095), st.integers(0, 100_000), st.integers(1, 30))
def test_many_at_once_are_the_same_as_one_by_one(stream: int, first: int, count: int) -> None:
    one_by_one = [CONTENT.encode(stream, first + each, MOMENT_MS) for each in range(count)]
    assert CONTENT.encode_many(stream, first, count, MOMENT_MS) == one_by_one
    assert msgspec.json.decode(CONTENT.encode_batch(stream, first, count, MOMENT_MS)) == {
        "events": [msgspec.json.decode(each) for each in one_by_one]
    }


def test_another_process_with_the_same_arguments_says_the_same() -> None:
    twin = Content(SMALL, seed=1, run=9)
    assert [twin.encode(2, each, MOMENT_MS) for each in range(600)] == [
        CONTENT.encode(2, each, MOMENT_MS) for each in range(600)
    ]
    other = Content(SMALL, seed=2, run=9)
    assert [other.encode(2, each, MOMENT_MS) for each in range(600)] != [
        CONTENT.encode(2, each, MOMENT_MS) for each in range(600)
    ]


def test_the_event_mix_is_kept_exactly() -> None:
    traffic = Traffic(event_mix=(("page_view", 2), ("signup", 1), ("add_to_cart", 1)), table_events=4000)
    assert Counter(step.event_type for step in sessions.steps(traffic, 1)) == {
        "page_view": 2000,
        "signup": 1000,
        "add_to_cart": 1000,
    }


def test_users_and_urls_follow_their_zipf_laws() -> None:
    traffic = Traffic(users=100, urls=50, user_zipf_exponent=1.0, url_zipf_exponent=1.5, table_events=200_000)
    steps = list(sessions.steps(traffic, 3))
    users = Counter(step.user_id for step in steps)
    urls = Counter(step.url for step in steps)
    harmonic = sum(1 / rank for rank in range(1, 101))
    assert users["user-1"] / len(steps) == pytest.approx(1 / harmonic, rel=0.05)
    assert users["user-1"] / users["user-10"] == pytest.approx(10, rel=0.2)
    assert urls["/"] / urls["/articles/1"] == pytest.approx(2**1.5, rel=0.05)
    assert len(users) == 100


def test_exponent_0_makes_all_users_alike() -> None:
    steps = sessions.steps(Traffic(users=10, user_zipf_exponent=0, table_events=100_000), 3)
    users = Counter(step.user_id for step in steps)
    assert users.most_common(1)[0][1] / users.most_common()[-1][1] < 1.2


def test_key_skew_gives_one_user_its_share() -> None:
    steps = list(sessions.steps(Traffic(key_skew=0.5, users=1000, table_events=100_000), 3))
    hot = Counter(step.user_id for step in steps)["user-1"] / len(steps)
    zipf = 1 / sum(1 / rank for rank in range(1, 1001))
    assert hot == pytest.approx(0.5 + 0.5 * zipf, rel=0.05)


def test_a_session_goes_from_page_to_page_and_begins_with_one() -> None:
    steps = list(sessions.steps(Traffic(table_events=2000), 5))
    landings = [step for step in steps if not step.ref.startswith("/")]
    within = [(one, two) for one, two in pairwise(steps) if two.ref.startswith("/")]
    assert 200 < len(landings) < 600
    assert within
    assert all(two.ref == one.url and two.user_id == one.user_id for one, two in within)
    # Only a session without a single page view begins with something else.
    assert sum(step.event_type == "page_view" for step in landings) / len(landings) > 0.8


@pytest.mark.parametrize("payload_bytes", [400, 1000, 20_000])
def test_payloads_have_the_size_asked_for(payload_bytes: int) -> None:
    content = Content(Traffic(table_events=64, payload_bytes=payload_bytes), seed=1, run=identity.MAX_RUN)
    sizes = {len(content.encode(0, each, MOMENT_MS)) for each in range(64)}
    assert all(abs(size - payload_bytes) <= 2 for size in sizes)


def test_no_two_events_of_a_round_share_an_id() -> None:
    ids = {msgspec.json.decode(each)["event_id"] for each in CONTENT.encode_many(0, 0, 2000, MOMENT_MS)}
    assert len(ids) == 2000


def test_a_stream_follows_the_sessions_and_each_begins_elsewhere() -> None:
    story = [(step.event_type, step.user_id, step.url) for step in sessions.steps(SMALL, 1)]
    stories = {}
    for stream in range(4):
        events = [msgspec.json.decode(each) for each in CONTENT.encode_many(stream, 0, 2 * len(story), MOMENT_MS)]
        stories[stream] = [(each["event"], each["user_id"], each["props"]["url"]) for each in events]
        beginning = next(at for at in range(len(story)) if stories[stream][: len(story)] == story[at:] + story[:at])
        assert stories[stream] == (story[beginning:] + story[:beginning]) * 2
    assert len({str(each) for each in stories.values()}) == 4
