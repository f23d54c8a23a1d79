"""Kafka away, slow, or killed: the API says so at once, takes nothing that could be lost, and comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from pipeline import provision
from pipeline.errors import UnavailableError
from pipeline.ingest.admission import Admission
from pipeline.ingest.publishing.publisher import Publisher
from pipeline.ingest.publishing.submission import Records
from pipeline.local.stack import LocalStack
from pipeline.settings import Kafka, Local, Settings
from tests.integration.ingest_api import (
    SEED_EVENT,
    WAIT_S,
    Answer,
    Running,
    connect,
    get,
    messages,
    metric,
    post,
    read_answer,
    request,
    running,
    wait_until,
    with_api,
)

CLIENTS = 6
BATCH_EVENTS = 10
PUBLISH_TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Servers of this file's own: it stops and kills them."""
    request.getfixturevalue("parts_are_there")
    with LocalStack(Local(), logs_dir=tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def mine(stack: LocalStack) -> Iterator[Settings]:
    """Topics of this test's own on the broker that may be stopped; it runs again afterwards."""
    unique = f"t{secrets.token_hex(6)}"
    kafka = Kafka(
        bootstrap_servers=stack.kafka_bootstrap_servers,
        topic_prefix=f"{unique}_events_",
        dead_letter_topic=f"{unique}_dead_letters",
        request_timeout_ms=3_000,
    )
    asyncio.run(provision.create_topics(kafka))
    yield with_api(Settings(kafka=kafka), port=0, publish_timeout_s=PUBLISH_TIMEOUT_S, shutdown_timeout_s=5.0)
    revive(stack)


def revive(stack: LocalStack) -> None:
    stack.kafka.send_signal(signal.SIGCONT)
    if not stack.kafka.running():
        stack.kafka.start()
        stack.wait_for_kafka()


def ready(api: Running) -> bool:
    return get(api, "/health/ready").status == 200


def refused_for_now(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["retry-after"]) >= 1 and answer.json["code"] == "unavailable"


@pytest.mark.slow
def test_it_starts_without_kafka_and_finds_it_later(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    stack.kafka.kill()
    with running(mine, tmp_path, kafka=False) as api:
        assert get(api, "/health/live").status == 200
        unready = get(api, "/health/ready")
        assert refused_for_now(unready)
        assert mine.kafka.bootstrap_servers in unready.json["error"]
        assert refused_for_now(post(api, "/track", SEED_EVENT))
        assert refused_for_now(post(api, "/track/batch", [SEED_EVENT]))
        assert post(api, "/track", b"{}").status == 400  # what is wrong stays wrong
        revive(stack)
        wait_until(lambda: ready(api), "the API has found Kafka")
        assert post(api, "/track", SEED_EVENT).status == 200
    assert len(messages(mine)) == 1


def test_it_ends_without_kafka(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    with running(mine, tmp_path) as api:
        stack.kafka.send_signal(signal.SIGSTOP)
        waiting = threading.Thread(target=post, args=(api, "/track", SEED_EVENT), daemon=True)
        waiting.start()
        wait_until(lambda: metric(api, "tidemark_api_in_flight_events") == 1, "an event is on its way")
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(WAIT_S) == 0
        waiting.join()


def test_missing_topics_are_reported_and_found_once_they_are_created(
    stack: LocalStack, mine: Settings, tmp_path: Path
) -> None:
    asyncio.run(provision.delete_topics(mine.kafka))
    with running(mine, tmp_path, kafka=False) as api:
        refused = post(api, "/track", SEED_EVENT)
        assert refused_for_now(refused)
        assert f"{mine.kafka.topic_prefix}page_view" in refused.json["error"]
        assert "./tidemark init" in get(api, "/health/ready").json["error"]
        asyncio.run(provision.create_topics(mine.kafka))
        wait_until(lambda: ready(api), "the API has found the topics")
        assert post(api, "/track", SEED_EVENT).status == 200
    assert stack.kafka.running()


def test_a_stalled_kafka_fills_the_bound_and_no_more(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    bounded = with_api(mine, max_batch_events=50, max_in_flight_events=100, room_timeout_s=0.2)
    with running(bounded, tmp_path) as api:
        stack.kafka.send_signal(signal.SIGSTOP)
        answers: list[Answer] = []
        batches = [threading.Thread(target=lambda: answers.append(batch_of(api, 50)), daemon=True) for _ in range(2)]
        for each in batches:
            each.start()
        wait_until(lambda: metric(api, "tidemark_api_in_flight_events") == 100, "the bound is reached")
        full = post(api, "/track", SEED_EVENT)
        assert refused_for_now(full)
        assert "100 events" in full.json["error"]
        assert not answers  # the refusal did not wait for those before it
        for each in batches:
            each.join()
        assert all(refused_for_now_in_batch(answer) for answer in answers)
        stack.kafka.send_signal(signal.SIGCONT)
        wait_until(lambda: ready(api) and post(api, "/track", SEED_EVENT).status == 200, "events are taken again")
        wait_until(lambda: metric(api, "tidemark_api_in_flight_bytes") == 0, "nothing is in flight")
        assert metric(api, "tidemark_api_in_flight_events") == 0


def test_a_request_without_room_waits_and_is_accepted_when_there_is_room(
    stack: LocalStack, mine: Settings, tmp_path: Path
) -> None:
    bounded = with_api(
        mine, max_batch_events=50, max_in_flight_events=50, room_timeout_s=WAIT_S, publish_timeout_s=WAIT_S
    )
    with running(bounded, tmp_path) as api:
        stack.kafka.send_signal(signal.SIGSTOP)
        answers: list[Answer] = []
        batches = [threading.Thread(target=lambda: answers.append(batch_of(api, 50)), daemon=True) for _ in range(3)]
        for each in batches:
            each.start()
        wait_until(lambda: metric(api, "tidemark_api_waiting_requests") == 2, "two wait for room")
        assert metric(api, "tidemark_api_in_flight_events") == 50
        stack.kafka.send_signal(signal.SIGCONT)
        for each in batches:
            each.join()
        assert [answer.status for answer in answers] == [200] * 3
    assert len(messages(mine)) == 150


def batch_of(api: Running, events: int) -> Answer:
    return post(api, "/track/batch", [SEED_EVENT] * events)


def refused_for_now_in_batch(answer: Answer) -> bool:
    rejected = answer.json["rejected"]
    codes = {each["code"] for each in rejected}
    return answer.status == 503 and "retry-after" in answer.headers and len(rejected) == 50 and codes == {"unavailable"}


def test_a_refused_event_can_be_sent_again_under_its_id(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    with running(mine, tmp_path) as api:
        stack.kafka.send_signal(signal.SIGSTOP)
        refused = post(api, "/track", SEED_EVENT)
        assert refused_for_now(refused)
        stack.kafka.send_signal(signal.SIGCONT)
        again = {**SEED_EVENT, "event_id": refused.headers["x-event-id"]}
        wait_until(lambda: post(api, "/track", again).status == 200, "the event is taken")
    assert {message["event_id"] for message in messages(mine)} == {again["event_id"]}


def test_without_acknowledgements_nobody_waits_for_a_stalled_kafka(
    stack: LocalStack, mine: Settings, tmp_path: Path
) -> None:
    with running(with_api(mine, acks="0"), tmp_path) as api:
        assert post(api, "/track", SEED_EVENT).status == 200
        stack.kafka.send_signal(signal.SIGSTOP)
        assert post(api, "/track", SEED_EVENT).status == 200


def test_one_write_key_cannot_take_all_of_the_room(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    bounded = with_api(mine, max_batch_events=70, max_in_flight_events=100, write_keys=("loud", "quiet"))
    with running(bounded, tmp_path) as api:
        stack.kafka.send_signal(signal.SIGSTOP)
        holding = threading.Thread(
            target=post, args=(api, "/track/batch", [SEED_EVENT] * 70), kwargs={"X_Write_Key": "loud"}, daemon=True
        )
        holding.start()
        wait_until(lambda: metric(api, "tidemark_api_in_flight_events") == 70, "one key holds 70%")
        loud = post(api, "/track/batch", [SEED_EVENT] * 10, X_Write_Key="loud")
        quiet = threading.Thread(
            target=post, args=(api, "/track/batch", [SEED_EVENT] * 10), kwargs={"X_Write_Key": "quiet"}, daemon=True
        )
        quiet.start()
        assert (loud.status, loud.json["code"]) == (429, "too_many_requests")
        assert loud.headers["retry-after"] == "1"
        wait_until(lambda: metric(api, "tidemark_api_in_flight_events") == 80, "the other key has its room")
        stack.kafka.send_signal(signal.SIGCONT)
        holding.join()
        quiet.join()


def test_a_connection_that_was_given_up_leaves_nothing_behind(stack: LocalStack, mine: Settings) -> None:
    assert asyncio.run(_tasks_over_outages(stack, with_api(mine, publish_timeout_s=0.5), outages=3)) == 0


async def _tasks_over_outages(stack: LocalStack, settings: Settings, outages: int) -> int:
    """How many tasks more there are after ``outages`` than before them."""
    admission = Admission(1_000, 1_000_000, shared=False)
    publisher = Publisher(settings, lambda: 1)
    running_on = asyncio.create_task(publisher.run())
    records = Records((f"{settings.kafka.topic_prefix}page_view",), ("key",), (b"{}",))

    async def publish() -> bool:
        reservation = admission.open("")
        reservation.exchange(1, 5)
        try:
            submission = publisher.publish(records, 1, reservation)
        except UnavailableError:
            reservation.release()
            return False
        return await submission.wait() and not submission.failures

    async def until(wanted: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not await wanted():  # noqa: ASYNC110  # the publisher has no event for what a user would see
                await asyncio.sleep(0.05)

    async def given_up() -> bool:
        return not await publish() and publisher.reconnects > before

    before = 0
    await until(publish)
    tasks = len(asyncio.all_tasks())
    while publisher.reconnects < outages:
        before = publisher.reconnects
        stack.kafka.send_signal(signal.SIGSTOP)
        await until(given_up)
        stack.kafka.send_signal(signal.SIGCONT)
        await until(publish)
    assert admission.events == 0
    await asyncio.sleep(0.5)
    more = len(asyncio.all_tasks()) - tasks
    running_on.cancel()
    await asyncio.gather(running_on, return_exceptions=True)
    await publisher.close(5.0)
    return more


def test_a_kafka_that_is_gone_is_reported_at_once_and_found_again(
    stack: LocalStack, mine: Settings, tmp_path: Path
) -> None:
    """Not after the time that an acknowledgement may take, which is longer than this test waits."""
    patient = with_api(mine, publish_timeout_s=10 * WAIT_S)
    patient = structs.replace(patient, kafka=structs.replace(patient.kafka, request_timeout_ms=round(WAIT_S * 10_000)))
    accepted: list[str] = []
    refused: list[Answer] = []
    stop = threading.Event()

    def send(client: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            event_id = f"{client}-{number}"
            answer = post(api, "/track", {**SEED_EVENT, "user_id": event_id, "event_id": event_id})
            if answer.status == 200:
                accepted.append(event_id)
            else:
                refused.append(answer)
                time.sleep(0.05)

    with running(patient, tmp_path) as api:
        clients = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: len(accepted) > 100, "load is accepted")
            stack.kafka.kill()
            wait_until(lambda: len(refused) > 5 * CLIENTS, "requests are refused")
            assert not ready(api)
            revive(stack)
            before = len(accepted)
            wait_until(lambda: len(accepted) > before + 100, "load is accepted again")
        finally:
            stack.kafka.send_signal(signal.SIGCONT)
            stop.set()
            for each in clients:
                each.join()
        assert all(refused_for_now(each) for each in refused)
        assert api.log.count("the connection to Kafka failed") == 1
        assert "Traceback" not in api.log
        found = [message["event_id"] for message in messages(mine)]
    assert set(accepted) <= set(found)


def test_connections_with_a_request_in_hand_give_way_to_none(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    few_files = ("sh", "-c", 'ulimit -n 160 && exec "$@"', "sh")  # less 100 for the process itself
    patient = with_api(mine, publish_timeout_s=WAIT_S)
    with running(patient, tmp_path, before=few_files) as api, contextlib.ExitStack() as opened:
        stack.kafka.send_signal(signal.SIGSTOP)
        wires = [opened.enter_context(connect(api)) for _ in range(60)]
        for wire in wires:
            wire.sendall(request("/track", b'{"event":"page_view","user_id":"1"}'))
        time.sleep(1.0)
        assert refused_for_now(post(api, "/track", SEED_EVENT))
        stack.kafka.send_signal(signal.SIGCONT)
        assert {read_answer(wire).status for wire in wires} == {200}


def test_a_batch_without_room_is_not_decoded(stack: LocalStack, mine: Settings, tmp_path: Path) -> None:
    bounded = with_api(mine, max_batch_events=50, max_in_flight_events=50, room_timeout_s=0.2, publish_timeout_s=WAIT_S)
    no_json = b"[" + b"x" * 10_000 + b"]"
    with running(bounded, tmp_path) as api:
        assert post(api, "/track/batch", no_json).status == 400
        stack.kafka.send_signal(signal.SIGSTOP)
        batch = threading.Thread(target=batch_of, args=(api, 50), daemon=True)
        batch.start()
        wait_until(lambda: metric(api, "tidemark_api_in_flight_events") == 50, "the bound is reached")
        assert refused_for_now(post(api, "/track/batch", no_json))
        stack.kafka.send_signal(signal.SIGCONT)
        batch.join()


@pytest.mark.parametrize("publish_timeout_s", [PUBLISH_TIMEOUT_S, pytest.param(20.0, marks=pytest.mark.slow)])
def test_kafka_killed_under_load_loses_nothing_that_was_accepted(
    stack: LocalStack, mine: Settings, tmp_path: Path, publish_timeout_s: float
) -> None:
    """However long it would wait for an acknowledgement: the API gives up its producer with Kafka's last connection."""
    accepted: list[str] = []
    after: list[str] = []
    refused: list[int] = []
    stop, revived = threading.Event(), threading.Event()

    def send(client: int) -> None:
        number = 0
        while not stop.is_set():
            ids = [f"{client}-{number}-{place}" for place in range(BATCH_EVENTS)]
            number += 1
            events = [{**SEED_EVENT, "user_id": each, "event_id": each} for each in ids]
            answer = post(api, "/track/batch", events)
            if answer.status == 200:
                left_out = {ids[each["index"]] for each in answer.json["rejected"]}
                taken = [each for each in ids if each not in left_out]
                accepted.extend(taken)
                if revived.is_set():
                    after.extend(taken)
            else:
                refused.append(answer.status)
                time.sleep(0.1)

    with running(with_api(mine, publish_timeout_s=publish_timeout_s), tmp_path) as api:
        clients = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            wait_until(lambda: len(accepted) > 500, "load is accepted")
            stack.kafka.kill()
            if publish_timeout_s == PUBLISH_TIMEOUT_S:
                wait_until(lambda: len(refused) > CLIENTS, "requests are refused meanwhile")
            revive(stack)
            revived.set()
            wait_until(lambda: len(after) > 500, "load is accepted again")
        finally:
            stop.set()
            for each in clients:
                each.join()
        assert set(refused) <= {503}
        assert metric(api, "tidemark_api_in_flight_events") == 0
        assert "Traceback" not in api.log
        assert "never retrieved" not in api.log
        found = [message["event_id"] for message in messages(mine)]
    assert set(accepted) <= set(found)
    twice = len(found) - len(set(found))
    assert twice == 0, f"{twice} events are in Kafka twice"
