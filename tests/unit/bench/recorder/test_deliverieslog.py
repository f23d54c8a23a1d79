"""The deliveries log as its reader finds it."""

from __future__ import annotations

import json
from pathlib import Path

from bench.recorder import deliverieslog as deliveries
from traffic.recordlog import read_blocks


def test_events_are_read_back_number_for_number(tmp_path: Path) -> None:
    path = tmp_path / "deliveries.log"
    identifiers = [bytes.fromhex(each) for each in ("6926e9fa8123456789abcdef", "00000000ffffffffffffffff")]
    log = deliveries.DeliveriesLog(path)
    log.events(10, 20, identifiers, [1_764_158_400_123, -1])
    log.close()
    (block,) = read_blocks(path)
    assert block.kind == deliveries.EVENTS
    assert deliveries.EVENTS_HEADER.unpack(block.header) == (10, 20)
    assert list(deliveries.EVENT.iter_unpack(block.payload)) == [
        (0x8123456789ABCDEF, 1_764_158_400_123),
        (0xFFFFFFFFFFFFFFFF, -1),
    ]


def test_assignments_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deliveries.log"
    log = deliveries.DeliveriesLog(path)
    log.assignment(7, {"events_signup": [0, 2]})
    log.assignment(8, {})
    log.close()
    read = [
        (block.kind, *deliveries.ASSIGNMENT_HEADER.unpack(block.header), json.loads(block.payload))
        for block in read_blocks(path)
    ]
    assert read == [
        (deliveries.ASSIGNMENT, 7, {"events_signup": [0, 2]}),
        (deliveries.ASSIGNMENT, 8, {}),
    ]
