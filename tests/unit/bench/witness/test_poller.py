"""The witness's poller, on a collection whose answers are scripted: when MongoDB fails cannot be had otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect

from bench.evidence import sightings
from bench.witness import poller
from bench.witness.poller import DocumentPoller, Outstanding
from traffic.ledger import NO_TIME

S = 1_000_000_000
FIRST, SECOND = b"first-events", b"second-event"


class Scripted:
    """Returns one answer after the other, the last one for ever; each poll takes 2 s of a clock of its own."""

    def __init__(self, *answers: Sequence[bytes] | None) -> None:
        self.now_ns = 0
        self.asked: list[list[bytes]] = []
        self._answers = list(answers)

    def there(self, wanted: Sequence[bytes]) -> Sequence[bytes]:
        self.asked.append(list(wanted))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.now_ns += 2 * S
        if answer is None:
            raise AutoReconnect("away")
        return answer


def seen(folder: Path, collected: Scripted, *events: Outstanding, flush: bool = False) -> list[tuple[int, int, int]]:
    watching = DocumentPoller(collected, sightings.SightingsWriter(folder), lambda: collected.now_ns)
    for event in events:
        watching.watch(event)
    watching.no_more()
    if flush:
        watching.flush()
    watching.run()
    return sightings.load(folder).tolist()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "SLOWEST_POLL_S", 0.0)


def test_an_event_lies_between_the_poll_that_missed_it_and_the_poll_that_read_it(tmp_path: Path) -> None:
    collected = Scripted([], [FIRST], [SECOND])
    assert seen(tmp_path, collected, Outstanding(0, FIRST, 0), Outstanding(1, SECOND, 0)) == [
        (0, 0, 4 * S),
        (1, 2 * S, 6 * S),
    ]
    assert collected.asked == [[FIRST, SECOND], [FIRST, SECOND], [SECOND]]  # one query for all


def test_a_poll_without_an_answer_says_nothing_of_any_event(tmp_path: Path) -> None:
    assert seen(tmp_path, Scripted(None, None, [FIRST]), Outstanding(0, FIRST, 0)) == [(0, NO_TIME, 6 * S)]


def test_an_event_that_never_comes_is_given_up(tmp_path: Path) -> None:
    ((_, missed_ns, seen_ns),) = seen(tmp_path, Scripted([]), Outstanding(0, FIRST, 0))
    assert (missed_ns, seen_ns) == (30 * S, NO_TIME)


def test_the_oldest_is_given_up_where_too_many_are_outstanding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "MAX_OUTSTANDING", 1)
    found = seen(tmp_path, Scripted([SECOND]), Outstanding(0, FIRST, 0), Outstanding(1, SECOND, 0))
    assert found == [(0, NO_TIME, NO_TIME), (1, NO_TIME, 2 * S)]


def test_a_poller_that_is_asked_to_end_looks_once_more(tmp_path: Path) -> None:
    collected = Scripted([FIRST])
    found = seen(tmp_path, collected, Outstanding(0, FIRST, 0), Outstanding(1, SECOND, 0), flush=True)
    assert found == [(0, NO_TIME, 2 * S), (1, 0, NO_TIME)]
    assert len(collected.asked) == 1
