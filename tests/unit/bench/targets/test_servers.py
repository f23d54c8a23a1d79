"""Servers that go away: for a while, which is waited for, or for good, which ends what needs them."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from msgspec import structs
from pymongo.errors import AutoReconnect, OperationFailure

from bench.errors import DeadServerError
from bench.retries import answered
from bench.targets import marks, servers
from bench.targets.servers import Servers
from pipeline import provision
from pipeline.errors import MissingPartError
from pipeline.local.process import ChildProcess
from pipeline.settings import Settings

SERVER = "import time; print('disk full, ' + 'x' * 1000, flush=True); time.sleep(60)"
LONG_S = 60.0


@pytest.fixture
def server(tmp_path: Path):
    with ChildProcess("mongod", [sys.executable, "-c", SERVER], log_path=tmp_path / "mongod.log") as started:
        started.start()
        started.wait_for_line("disk full", LONG_S)
        yield started


def test_work_ends_when_a_server_of_the_run_dies_and_its_last_lines_are_shown(server: ChildProcess) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG_S)
        finally:
            ended.append("cleaned up")

    async def both() -> None:
        servers = Servers(Settings(), {}, {}, processes=(server,))
        asyncio.get_running_loop().call_later(0.2, server.kill)
        await servers.beside(work())

    with pytest.raises(
        DeadServerError,
        match=r"mongod, which was started for this run, ended with exit code -9 \(killed; where memory is short",
    ) as dead:
        asyncio.run(both())
    assert ended == ["cleaned up"]
    assert "disk full" in str(dead.value)
    assert max(map(len, str(dead.value).splitlines())) < 400
    assert dead.value.exit_code == 2


def test_a_failure_because_of_a_dead_server_is_not_blamed_on_the_system(server: ChildProcess) -> None:
    async def work() -> None:
        server.kill()
        raise TimeoutError

    with pytest.raises(DeadServerError):
        asyncio.run(Servers(Settings(), {}, {}, processes=(server,)).beside(work()))


def test_work_beside_living_servers_returns_its_result(server: ChildProcess) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert asyncio.run(Servers(Settings(), {}, {}, processes=(server,)).beside(work())) == "done"


def asked(*answers: Exception | str, patience_s: float = LONG_S) -> tuple[str, int]:
    """Ask one who gives these answers in turn; return the answer, and how often it was asked."""
    left = list(answers)

    async def ask() -> str:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asyncio.run(answered(ask, patience_s=patience_s)), len(answers) - len(left)


@pytest.mark.parametrize(
    "trouble",
    [KafkaConnectionError(), AutoReconnect("election"), TimeoutError(), OperationFailure("stepped down", 11602)],
)
def test_a_server_that_is_away_is_asked_again(trouble: Exception) -> None:
    assert asked(trouble, trouble, "here")[0] == "here"


@pytest.mark.parametrize("refusal", [TopicAuthorizationFailedError(), OperationFailure("not authorized", 13)])
def test_a_server_that_refuses_is_not_asked_again(refusal: Exception) -> None:
    began_s = time.monotonic()
    with pytest.raises(type(refusal)):
        asked(refusal)
    assert time.monotonic() - began_s < LONG_S / 2


def test_retries_are_bounded() -> None:
    with pytest.raises(KafkaConnectionError):
        asked(KafkaConnectionError(), patience_s=0.3)


def on_mongodb(uri: str) -> Settings:
    return structs.replace(Settings(), mongo=structs.replace(Settings().mongo, uri=uri, timeout_ms=100))


def test_a_mongodb_that_stays_away_before_a_repeat_is_a_missing_part_and_no_void_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(marks, "PATIENCE_S", 0.0)
    mark = marks.Mark(marks.new_token(), on_mongodb("mongodb://127.0.0.1:9"))
    with pytest.raises(MissingPartError, match=r"MongoDB at mongodb://127\.0\.0\.1:9 cannot be used"):
        asyncio.run(mark.renewed(1.0))


def test_a_missing_certificate_is_a_missing_part_and_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(marks, "PATIENCE_S", 0.0)
    away = on_mongodb(f"mongodb://127.0.0.1:9/?tls=true&tlsCAFile={tmp_path}/none.pem")
    assert servers.nodes(away, local=False) is None
    with pytest.raises(MissingPartError):
        asyncio.run(marks.Mark(marks.new_token(), away).renewed(1.0))


@pytest.mark.parametrize(("code", "refused"), [(0, False), (3, False), (29, True)])
def test_a_topic_that_kafka_refuses_to_delete_is_not_called_removed(code: int, refused: bool) -> None:  # noqa: FBT001 - pytest's way
    class Admin:
        """A broker that grants or refuses a deletion: of ours none refuses."""

        async def delete_topics(self, topics: list[str]) -> SimpleNamespace:
            return SimpleNamespace(topic_error_codes=[(topic, code) for topic in topics])

        async def describe_topics(self) -> list[dict[str, object]]:
            return []

    if not refused:
        asyncio.run(provision.remove_topics(Admin(), ["mine"]))
        return
    with pytest.raises(TopicAuthorizationFailedError, match="the topic mine was not deleted"):
        asyncio.run(provision.remove_topics(Admin(), ["mine"]))
