"""Record logs: what was appended comes back, a torn end is left out, damage is an error."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, strategies

from pipeline.errors import CorruptLogError
from traffic.recordlog import Block, RecordLogWriter, read_blocks

BLOCKS = [Block(1, b"head", b"payload"), Block(2, b"", b""), Block(7, b"h", b"x" * 1_000)]


def write(path: Path, blocks: list[Block]) -> list[int]:
    """Write ``blocks``; return where each one ends."""
    writer = RecordLogWriter(path)
    ends = []
    for block in blocks:
        writer.append(*block)
        ends.append(path.stat().st_size)
    writer.close()
    return ends


def test_blocks_come_back_in_the_order_written(tmp_path: Path) -> None:
    write(tmp_path / "log", BLOCKS)
    assert list(read_blocks(tmp_path / "log")) == BLOCKS


def test_an_empty_log_has_no_blocks(tmp_path: Path) -> None:
    write(tmp_path / "log", [])
    assert not list(read_blocks(tmp_path / "log"))


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    write(tmp_path / "log", BLOCKS[:1])
    write(tmp_path / "log", BLOCKS[1:])
    assert list(read_blocks(tmp_path / "log")) == BLOCKS


def test_what_was_appended_is_there_before_the_log_is_closed(tmp_path: Path) -> None:
    writer = RecordLogWriter(tmp_path / "log")
    writer.append(*BLOCKS[0])
    assert list(read_blocks(tmp_path / "log")) == BLOCKS[:1]
    writer.close()


def test_wherever_the_last_block_is_torn_the_others_are_read(tmp_path: Path) -> None:
    ends = write(tmp_path / "log", BLOCKS)
    whole = (tmp_path / "log").read_bytes()
    for length in range(ends[1], ends[2]):
        (tmp_path / "log").write_bytes(whole[:length])
        assert list(read_blocks(tmp_path / "log")) == BLOCKS[:2]


@given(strategies.data())
def test_a_changed_byte_is_never_read_as_data(
    tmp_path_factory: pytest.TempPathFactory, data: strategies.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    write(path, BLOCKS)
    content = bytearray(path.read_bytes())
    position = data.draw(strategies.integers(0, len(content) - 1))
    content[position] ^= data.draw(strategies.integers(1, 255))
    path.write_bytes(content)
    read = []
    with contextlib.suppress(CorruptLogError):
        read.extend(read_blocks(path))
    # A changed length may make the rest look torn: then it is missing, and the audit will tell.
    assert read == BLOCKS[: len(read)]
    assert len(read) < len(BLOCKS)


def test_damage_in_the_last_block_is_an_error_too(tmp_path: Path) -> None:
    write(tmp_path / "log", BLOCKS)
    content = bytearray((tmp_path / "log").read_bytes())
    content[-1] ^= 1
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(CorruptLogError, match="checksum"):
        list(read_blocks(tmp_path / "log"))


def test_a_file_that_is_not_a_record_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"something else, longer than a frame")
    with pytest.raises(CorruptLogError, match="byte 0"):
        list(read_blocks(tmp_path / "log"))
