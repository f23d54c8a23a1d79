"""Who an event is survives its way through the UUID, and no two events are one."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import _identity

RUNS = st.integers(0, _identity.MAX_RUN)
STREAMS = st.integers(0, _identity.MAX_STREAM)
SEQUENCES = st.integers(0, _identity.MAX_SEQUENCE)
IDENTITIES = st.tuples(RUNS, STREAMS, SEQUENCES)
MOMENTS_MS = st.integers(0, (1 << 48) - 1)


@given(IDENTITIES)
def test_unpack_gives_back_what_was_packed(identity: tuple[int, int, int]) -> None:
    assert _identity.unpack(_identity.pack(*identity)) == identity


@given(IDENTITIES, IDENTITIES)
def test_distinct_events_have_distinct_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (_identity.pack(*one) == _identity.pack(*other)) == (one == other)


@given(IDENTITIES, MOMENTS_MS)
def test_the_event_id_is_a_uuid_of_version_7_that_holds_moment_and_number(
    identity: tuple[int, int, int], unix_ms: int
) -> None:
    packed = _identity.pack(*identity)
    text = _identity.event_id(unix_ms, packed)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == unix_ms
    assert parsed.int & ((1 << 64) - 1) == _identity.id_low(packed)
    assert parsed.int & ((1 << 62) - 1) == packed


@given(MOMENTS_MS, st.integers(0, 4_000))
def test_ids_of_one_moment_sort_by_sequence(unix_ms: int, sequence: int) -> None:
    low, high = (_identity.event_id(unix_ms, _identity.pack(3, 1, sequence + step)) for step in (0, 1))
    assert low < high


@pytest.mark.parametrize(
    "wrong", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (1 << 14, 0, 0), (0, 1 << 12, 0), (0, 0, 1 << 36)]
)
def test_what_has_too_many_bits_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="is not between 0 and"):
        _identity.pack(*wrong)
