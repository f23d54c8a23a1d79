"""What servers take, and what a machine that has too little of it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.local import room
from pipeline.local.room import Room
from pipeline.local.stackspec import StackSpec

SEVEN = StackSpec(3, "zookeeper", 3)


def test_each_server_counts() -> None:
    one, seven = room.needed(StackSpec()), room.needed(SEVEN)
    assert seven.memory_bytes > 3 * one.memory_bytes
    assert seven.disk_bytes > 3 * one.disk_bytes


def test_a_folder_that_is_not_there_yet_has_the_disk_of_the_one_around_it(tmp_path: Path) -> None:
    found = room.available(tmp_path / "not" / "yet")
    assert found.memory_bytes > 0
    assert found.disk_bytes > 0


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (Room(1e12, 1e12), []),
        (Room(1e9, 1e12), ["too little memory: 3 brokers (ZooKeeper), 3 mongods take about"]),
        (Room(1e12, 1e6), ["too little disk: 3 brokers (ZooKeeper), 3 mongods take about"]),
        (Room(0, 0), ["too little memory", "too little disk"]),
    ],
)
def test_what_is_short_is_said_with_both_numbers_and_a_way_out(
    there: Room, says: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "available", lambda _: there)
    shortages = list(room.shortages(SEVEN, tmp_path))
    assert [text[: len(said)] for text, said in zip(shortages, says, strict=True)] == says
    assert all("start fewer servers" in text for text in shortages)


def test_of_the_smallest_stack_there_are_no_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available", lambda _: Room(0, 1e12))
    (shortages,) = room.shortages(StackSpec(), tmp_path)
    assert shortages.endswith("end other programs, or use servers of your own")
