"""Servers that a run varied, as the report names them, and as the matrix that it proposes asks for them."""

from __future__ import annotations

import pytest

from bench.kinds import naming
from bench.matrix import matrix
from pipeline.local.stackspec import StackSpec
from reports.advice import followup
from reports.answer import objective
from reports.cells import axes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("brokers", 1, "1 broker"),
        ("brokers", 3, "3 brokers"),
        ("replication", 3, "3 copies"),
        ("mongo_members", 3, "3 members"),
        ("coordination", "zookeeper", "ZooKeeper"),
        ("kafka.num.io.threads", 8, "kafka.num.io.threads 8"),
    ],
)
def test_the_value_of_an_axis_of_servers_stands_alone(name: str, value: object, words: str) -> None:
    assert axes.words(name, value) == words


def test_what_is_to_be_measured_next_asks_for_the_same_servers() -> None:
    text = (
        'name = "mine"\n[servers]\nkafka."num.io.threads" = 2\nmongod.ttlMonitorEnabled = false\n'
        '[[cells]]\nkind = "steady"\noffered_load = 100\nfixed = { brokers = 3, mongo_members = 3 }\n'
    )
    (cell,) = matrix.parse(text, "mine.toml").cells
    known = {
        name: value for name, value in naming.axes_of(cell).items() if value is not None and name != "offered_load"
    }
    asked = objective.parse("p99 delivery latency <= 1 s")
    (proposed,) = matrix.parse(followup.toml(known, 100.0, asked), "next.toml").cells
    assert proposed.stack == cell.stack
    assert proposed.stack == StackSpec(3, "kraft", 3, (("num.io.threads", 2),), (("ttlMonitorEnabled", False),))
