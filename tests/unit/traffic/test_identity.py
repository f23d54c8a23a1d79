"""Who an event is survives its way through the UUID, and no two events are one."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic import identity

RUNS = st.integers(0, identity.MAX_RUN)
STREAMS = st.integers(0, identity.MAX_STREAM)
SEQUENCES = st.integers(0, identity.MAX_SEQUENCE)
IDENTITIES = st.tuples(RUNS, STREAMS, SEQUENCES)
MOMENTS_MS = st.integers(0, (1 << 48) - 1)


@given(IDENTITIES)
def test_unpack_gives_back_what_was_packed(who: tuple[int, int, int]) -> None:
    assert identity.unpack(identity.pack(*who)) == who


@given(IDENTITIES, IDENTITIES)
def test_distinct_events_have_distinct_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (identity.pack(*one) == identity.pack(*other)) == (one == other)


@given(IDENTITIES, MOMENTS_MS)
def test_the_event_id_is_a_uuid_of_version_7_that_holds_moment_and_number(
    who: tuple[int, int, int], unix_ms: int
) -> None:
    packed = identity.pack(*who)
    text = identity.event_id(unix_ms, packed)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == unix_ms
    assert parsed.int & ((1 << 64) - 1) == identity.id_low(packed)
    assert parsed.int & ((1 << 62) - 1) == packed


@given(MOMENTS_MS, st.integers(0, 4_000))
def test_ids_of_one_moment_sort_by_sequence(unix_ms: int, sequence: int) -> None:
    low, high = (identity.event_id(unix_ms, identity.pack(3, 1, sequence + step)) for step in (0, 1))
    assert low < high


@pytest.mark.parametrize(
    "wrong", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (1 << 14, 0, 0), (0, 1 << 12, 0), (0, 0, 1 << 36)]
)
def test_a_number_with_too_many_bits_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="is not between 0 and"):
        identity.pack(*wrong)
