"""How far a system has come that reports no backlog: by its documents, at rest once nothing comes for a while."""

from __future__ import annotations

import pytest

from bench.evidence.progress import QUIET_S, DocumentWatch
from pipeline.settings import Mongo


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the collection answers, one count after the other."""
    given: list[int] = []
    monkeypatch.setattr(DocumentWatch, "_count", lambda _: given.pop(0))
    return given


async def test_it_is_at_rest_once_its_documents_stay_the_same_for_a_while(counts: list[int]) -> None:
    clock = Clock()
    counts += [0, 5, 5, 9, 9, 9]
    async with DocumentWatch(Mongo(), clock) as watch:
        seen = []
        for elapsed_s in (0.0, QUIET_S - 0.1, QUIET_S - 0.1, 0.2, QUIET_S - 0.1, 0.2):
            clock.now_s += elapsed_s
            position = await watch.position()
            seen.append((position.written, position.committed, position.at_rest))
        assert position.backlog is None
        assert len((await watch.leftovers()).undrained) == 0
    assert seen == [
        (0, 0, False),
        (5, 5, False),
        (5, 5, False),
        (9, 9, False),
        (9, 9, False),
        (9, 9, True),
    ]


async def test_a_system_that_reports_nothing_at_all_is_at_rest_at_once() -> None:
    async with DocumentWatch(None) as watch:
        assert (await watch.position()).at_rest
