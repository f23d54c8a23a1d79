"""The ledger: reads back what was written, also when its writer was killed in the middle of a write."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptLogError, MissingPartError, UsageError
from traffic.ledger import FLUSH_RECORDS, NO_TIME, LedgerHead, LedgerTail, LedgerWriter, Outcome, read
from traffic.spec import LoadSpec, Traffic

HEAD = LedgerHead(
    spec=LoadSpec(duration_s=3, traffic=Traffic(key_skew=0.5)),
    index=1,
    count=2,
    epoch_monotonic_ns=123,
    epoch_unix_ns=1_764_158_400_000_000_000,
    pid=42,
)
TIMES = st.integers(NO_TIME, (1 << 63) - 1)
RECORDS = st.tuples(
    st.integers(0, (1 << 36) - 1), st.integers(1, 1000), TIMES, TIMES, TIMES, st.sampled_from(list(Outcome))
)


def written(path: Path, rows: list[tuple[int, int, int, int, int, int]]) -> LedgerWriter:
    writer = LedgerWriter(path, HEAD)
    for row in rows:
        writer.record(*row)
    return writer


@given(st.lists(RECORDS, max_size=20))
def test_what_was_recorded_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, int, int, Outcome]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger-1.log"
    written(path, list(rows)).close(offered=sum(row[1] for row in rows))
    ledger = read(path)
    assert ledger.head == HEAD
    assert ledger.records.tolist() == [(*row[:5], int(row[5])) for row in rows]
    assert ledger.tail == LedgerTail(sum(row[1] for row in rows), len(rows))


def test_a_torn_tail_costs_only_what_was_not_flushed(tmp_path: Path) -> None:
    path = tmp_path / "ledger-1.log"
    writer = written(path, [(each, 1, each, each, each, Outcome.ACCEPTED) for each in range(100)])
    writer.flush()
    kept = path.stat().st_size
    writer.record(100, 1, 1, 1, 1, Outcome.IN_DOUBT)
    writer.close(offered=101)
    whole = path.read_bytes()
    for size in range(kept, len(whole)):
        path.write_bytes(whole[:size])
        ledger = read(path)
        assert ledger.tail is None
        assert ledger.records["first"][:100].tolist() == list(range(100))
        assert len(ledger.records) in (100, 101)


def test_many_records_reach_the_file_without_being_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "ledger-1.log"
    rows = [(each, 1, 0, 0, 0, Outcome.ACCEPTED) for each in range(FLUSH_RECORDS)]
    writer = written(path, rows[:-1])
    assert len(read(path).records) == 0
    writer.record(*rows[-1])
    assert len(read(path).records) == FLUSH_RECORDS


def test_a_second_run_does_not_write_into_the_first_ones_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger-1.log"
    written(path, []).close(0)
    with pytest.raises(UsageError, match="name another folder"):
        LedgerWriter(path, HEAD)


def test_a_file_that_is_not_a_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="the generator did not start"):
        read(tmp_path / "ledger-7.log")
    empty = tmp_path / "ledger-1.log"
    empty.write_bytes(b"")
    with pytest.raises(CorruptLogError, match="no head"):
        read(empty)


def test_a_block_damaged_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger-1.log"
    writer = written(path, [(0, 1, 0, 0, 0, Outcome.ACCEPTED)])
    writer.close(1)
    damaged = bytearray(path.read_bytes())
    damaged[30] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptLogError):
        read(path)
