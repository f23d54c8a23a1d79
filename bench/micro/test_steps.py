"""What each step of an event's way costs; each call takes 1,000 events. No servers are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro import steps
from bench.micro.steps import STEPS, UNIX_MS, Step
from pipeline.messages.identifiers import document_id


@pytest.mark.parametrize(
    "step", [pytest.param(each, id=each.name, marks=pytest.mark.benchmark(group=each.role)) for each in STEPS]
)
def test_step(benchmark: BenchmarkFixture, tmp_path: Path, step: Step) -> None:
    assert step.check(benchmark(step.make(tmp_path)))


@pytest.mark.benchmark(group="_id of events without a UUIDv7")
@pytest.mark.parametrize("rule", ["other_id", "no_id"])
def test_document_id(benchmark: BenchmarkFixture, rule: str) -> None:
    given = [
        (f"order-{number}" if rule == "other_id" else None, number, message)
        for number, message in enumerate(steps.messages())
    ]

    def identify() -> list[bytes]:
        return [
            document_id(event_id, topic="events_generic", partition=0, offset=offset, timestamp_ms=UNIX_MS, value=value)
            for event_id, offset, value in given
        ]

    assert len(set(benchmark(identify))) == len(given)
