"""Dead letters as a person sees them, and their way back to where they came from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from msgspec import structs

from pipeline import __main__ as command_line
from pipeline import provision
from pipeline import settings as pipeline_settings
from pipeline.commands import deadletters
from pipeline.errors import MissingPartError, ProvisionError
from pipeline.settings import Settings


async def bury(settings: Settings, values: Sequence[bytes | None], topic: str = "", **more: str) -> None:
    """Write dead letters as a worker does."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all")
    await producer.start()
    for offset, value in enumerate(values):
        headers = {"reason": "not_json", "topic": topic or settings.kafka.topic_prefix + "signup"}
        headers |= {"partition": "2", "offset": str(offset), **more}
        pairs = [(name, text.encode()) for name, text in headers.items()]
        await producer.send_and_wait(settings.kafka.dead_letter_topic, value, key=b"u1", headers=pairs)
    await producer.stop()


async def read_back(settings: Settings, count: int) -> list[tuple[bytes | None, bytes | None]]:
    consumer = AIOKafkaConsumer(
        settings.kafka.topic_prefix + "signup",
        bootstrap_servers=settings.kafka.bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    records = [await consumer.getone() for _ in range(count)]
    more = await consumer.getmany(timeout_ms=300)
    await consumer.stop()
    assert not more
    return [(record.key, record.value) for record in records]


async def test_a_letter_is_listed_with_reason_origin_and_value(settings: Settings) -> None:
    await bury(settings, [b"{", None], detail="ends too soon")
    found = await deadletters.listing(settings, limit=10)
    assert found.total == 2
    first, second = found.letters
    assert (first.reason, first.detail, first.value, second.value) == ("not_json", "ends too soon", b"{", None)
    assert (first.origin_topic, first.origin_partition) == (settings.kafka.topic_prefix + "signup", 2)
    assert [each.origin_offset for each in found.letters] == [0, 1]


async def test_a_list_is_bounded_and_shows_the_total(settings: Settings) -> None:
    await bury(settings, [b"%d" % each for each in range(7)])
    found = await deadletters.listing(settings, limit=5)
    assert [each.value for each in found.letters] == [b"0", b"1", b"2", b"3", b"4"]
    assert found.total == 7


async def test_a_replay_sends_key_and_value_as_they_were_and_the_next_one_goes_on(settings: Settings) -> None:
    await bury(settings, [b"a", b"b", b"c"])

    first = await deadletters.replay(settings, limit=2)
    second = await deadletters.replay(settings, limit=2)
    third = await deadletters.replay(settings, limit=2)

    assert [[each.value for each in done.sent] for done in (first, second, third)] == [[b"a", b"b"], [b"c"], []]
    assert [done.left for done in (first, second, third)] == [1, 0, 0]
    assert await read_back(settings, 3) == [(b"u1", b"a"), (b"u1", b"b"), (b"u1", b"c")]
    assert all(each.replayed for each in (await deadletters.listing(settings, limit=10)).letters)


async def test_a_dry_run_sends_nothing_and_remembers_nothing(settings: Settings) -> None:
    await bury(settings, [b"a"])
    assert [each.value for each in (await deadletters.replay(settings, 10, dry_run=True)).sent] == [b"a"]
    assert [each.value for each in (await deadletters.replay(settings, 10)).sent] == [b"a"]
    assert [each.value for each in (await deadletters.replay(settings, 10, again=True)).sent] == [b"a"]
    assert await read_back(settings, 2) == [(b"u1", b"a"), (b"u1", b"a")]


async def test_a_dead_letter_that_cannot_be_replayed_is_kept_and_reported(settings: Settings) -> None:
    await bury(settings, [b"a"], topic="no-such-topic")
    await bury(settings, [b"b"], original_bytes="2000000")
    done = await deadletters.replay(settings, 10)
    assert not done.sent
    assert ["no-such-topic" in done.held_back[0][1], "cut" in done.held_back[1][1]] == [True, True]


def test_the_command_shows_letters_and_exits_1_when_some_are_held_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio  # noqa: PLC0415  one test alone is not async

    for name, value in pipeline_settings.to_environment(settings).items():
        monkeypatch.setenv(name, value)
    asyncio.run(bury(settings, [b"x" * 50]))
    asyncio.run(bury(settings, [b"y"], topic="no-such-topic"))

    assert command_line.main(["dead-letters", "list", "--width", "10"]) == 0
    shown = capsys.readouterr().out
    assert f"{settings.kafka.topic_prefix}signup/2@0  not_json  'xxxxxxxxxx... (50 bytes)'" in shown
    assert f"2 of 2 dead letters in {settings.kafka.dead_letter_topic}" in shown

    assert command_line.main(["dead-letters", "replay"]) == 1
    assert "1 sent, 1 held back, 0 more" in capsys.readouterr().out


async def test_without_the_topic_the_remedy_is_named(settings: Settings) -> None:
    await provision.delete_topics(settings.kafka)
    with pytest.raises(ProvisionError, match="tidemark init"):
        await deadletters.listing(settings, 10)


async def test_without_kafka_the_setting_is_named(settings: Settings) -> None:
    nowhere = structs.replace(settings, kafka=structs.replace(settings.kafka, bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(MissingPartError, match="PIPELINE_KAFKA_BOOTSTRAP_SERVERS"):
        await deadletters.listing(nowhere, 10)
