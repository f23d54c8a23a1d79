"""The bare loops: which are measured, in which order, what they are fed with, and what their repeats come to."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import bson
import msgspec
import pytest
from msgspec import structs

from bench import kinds
from bench.ceilings import components, freshness, loading, loops, material, meter, session, summary, targets
from bench.ceilings.freshness import Place
from bench.ceilings.handler import application
from bench.ceilings.meter import LoopMeasurement, Meter, Reading
from bench.ceilings.session import CeilingsRequest
from bench.ceilings.task import Task
from bench.cells.bounds import Bounds
from bench.cli import ceilings
from bench.errors import RepeatError
from bench.load import nullsink
from bench.matrix import matrix
from bench.observe.environment import Environment, Hardware
from bench.observe.sampling import Machine
from bench.run import machine
from bench.targets.servers import Servers
from bundle.calibration import Calibration
from bundle.ceilings import Ceilings, Held, LoopRepeat
from bundle.interval import Interval
from bundle.result import Disturbance, Percentiles
from bundle.writing import BundleWriter
from pipeline.errors import UsageError
from pipeline.settings import Kafka, Settings
from traffic.spec import Traffic

HERE = Environment({"kafka": "4.3.1"}, Hardware("a processor", 2, 8 << 30), "Linux", "abc", git_dirty=False)
DRAINS = loops.needed({"drain"}, 2)


def place(**changes: object) -> Place:
    return replace(Place(HERE, Servers(Settings(), {}, {}), "local", Traffic(), Bounds()), **changes)


def repeats(rates: Sequence[float], others: float = 0.0) -> list[LoopRepeat]:
    return [
        LoopRepeat(
            round=number,
            place=1,
            events=1_000,
            took_s=1_000 / rate,
            events_per_s=rate,
            cpu_s_per_100k_events={"client": 0.5 * number},
            disturbance=Disturbance(others, 0.0),
        )
        for number, rate in enumerate(rates, 1)
    ]


def found(wanted: Place, asked: CeilingsRequest, others: float = 0.0) -> Ceilings:
    of_loop = {loop.name: repeats([1_000.0, 2_000.0, 4_000.0][: asked.rounds], others) for loop in asked.loops}
    prints = freshness.fingerprint(wanted)
    return summary.conclude(
        asked, of_loop, settings=wanted.settings, fingerprint=prints, where=wanted.where, took_s=1.0
    )


def keep(cache: Path, kept: Ceilings, age_s: float = 0.0) -> None:
    freshness.machinecache.keep(cache / "ceilings", kept, kept.fingerprint)
    path = cache / "ceilings" / f"{kept.fingerprint}.json"
    os.utime(path, (time.time() - age_s, time.time() - age_s))


class TestWhichLoops:
    def test_inserts_are_measured_with_as_many_connections_as_cores_where_there_are_more_than_two(self) -> None:
        assert [loops.connections(cores) for cores in (1, 2, 4, 64)] == [(1, 2), (1, 2), (1, 2, 4), (1, 2, 16)]

    def test_a_run_of_drains_needs_no_http_and_no_producer(self) -> None:
        assert [loop.name for loop in DRAINS] == ["insert-1", "insert-2", "consume-decoded"]
        whole = {loop.name for loop in loops.needed({"drain", "steady"}, 4)}
        assert {"insert-4", "produce-pooled-8", "handler-single-8", "handler-batches-8"} < whole
        assert whole < {loop.name for loop in loops.every(4)}

    def test_an_insert_counts_the_documents_that_a_drain_beside_it_counts(self) -> None:
        of_name = {loop.name: loop for loop in (*loops.every(2), *loops.parts(apart=False))}
        drain, inserts = of_name["worker-1"], [of_name["insert-1"], of_name["insert-2"]]
        until = int(components.STORED_SHARE * drain.events)
        for insert in inserts:
            assert (insert.warm_up, insert.warm_up + insert.events) == (drain.warm_up, until)
            assert insert.warm_up % insert.batch == insert.events % insert.batch == 0

    def test_each_round_has_every_loop_once_in_an_order_of_its_own_that_the_seed_decides(self) -> None:
        asked = CeilingsRequest(loops.every(2), 4, Traffic(), seed=7)
        names = [[loop.name for number, loop in session.order(asked) if number == each] for each in range(1, 5)]
        assert all(sorted(of_round) == sorted(loop.name for loop in asked.loops) for of_round in names)
        assert len({tuple(of_round) for of_round in names}) == 4
        assert session.order(asked) == session.order(asked)
        assert session.order(asked) != session.order(replace(asked, seed=8))

    def test_parts_are_measured_right_beside_what_they_are_held_against(self) -> None:
        asked = CeilingsRequest((*loops.every(2), *loops.parts(apart=True)), 3, Traffic())
        for number in range(1, 4):
            names = [loop.name for of_round, loop in session.order(asked) if of_round == number]
            store = [names.index(name) for name in ("insert-1", "insert-2", "worker-1", "worker-1-apart")]
            assert max(store) - min(store) <= 5
            for target in targets.TARGETS:
                assert all(abs(names.index(target.part) - names.index(each)) < 8 for each in target.against)

    def test_a_part_that_is_not_there_is_refused_by_name(self) -> None:
        with pytest.raises(UsageError, match=r"--only worker-1: .*with --parts"):
            ceilings._chosen(ceilings.Wanted(rounds=1, only=("worker-1",)), apart=True)
        chosen = ceilings._chosen(ceilings.Wanted(rounds=1, parts=True, only=("worker-1", "insert-2")), apart=True)
        assert [loop.name for loop in chosen] == ["insert-2", "worker-1"]


def target_of(name: str) -> Held:
    """Hold a worker whose rates are those of ``name`` against inserts at 1,000/s; what it came to for the drain."""
    rates = {
        "met": [970.0, 960.0, 980.0, 965.0, 975.0] * 2,
        "few": [970.0, 960.0, 980.0, 965.0, 975.0],
        "missed": [900.0, 890.0, 910.0, 895.0, 905.0] * 2,
        "noisy": [700.0, 1_300.0] * 5,
    }[name]
    faster, slower = [1_000.0] * len(rates), [400.0] * (len(rates) - 1) + [1_100.0]
    measured = {"worker-1": repeats(rates), "insert-1": repeats(slower), "insert-2": repeats(faster)}
    return next(held for held in targets.held(measured) if held.quantity == "events/s")


class TestTargets:
    def test_a_target_is_met_only_if_the_bound_of_ten_pairs_reaches_it(self) -> None:
        verdicts = {name: target_of(name).verdict for name in ("met", "few", "missed", "noisy")}
        assert verdicts == {"met": "met", "few": "cannot tell", "missed": "not met", "noisy": "cannot tell"}

    def test_bounds_are_one_sided_on_logarithms(self) -> None:
        target = target_of("met")
        logs = [math.log(pair.ratio) for pair in target.pairs]
        centre = sum(logs) / 10
        spread = math.sqrt(sum((each - centre) ** 2 for each in logs) / 9)
        half = 1.8331 * spread / math.sqrt(10)  # the 95% point of t with 9 degrees of freedom in any table
        assert target.ratio == pytest.approx(math.exp(centre))
        assert (target.low, target.high) == (
            pytest.approx(math.exp(centre - half), rel=1e-5),
            pytest.approx(math.exp(centre + half), rel=1e-5),
        )

    def test_it_is_held_against_the_loop_that_is_faster_over_all_rounds_and_every_pair_is_kept(self) -> None:
        target = target_of("met")
        assert target.against == "insert-2"
        assert [pair.against for pair in target.pairs] == [1_000.0] * 10
        assert [pair.round for pair in target.pairs] == list(range(1, 11))

    def test_an_upper_limit_has_its_spare_added_and_one_without_a_loop_its_limit(self) -> None:
        def timed(p99_ms: float) -> list[LoopRepeat]:
            return [structs.replace(each, service_time_ms=Percentiles(p99=p99_ms)) for each in repeats([100.0] * 10)]

        loops_ = {"api-batches-8": timed(59.0), "produce-requests-8": timed(40.0), "api-batches-64": timed(260.0)}
        by_part = {held.part: held for held in targets.held(loops_) if held.quantity == "service time p99, ms"}
        assert by_part["api-batches-8"].pairs[0].against == 60.0
        assert by_part["api-batches-8"].verdict == "met"
        assert (by_part["api-batches-64"].pairs[0].against, by_part["api-batches-64"].verdict) == (250.0, "not met")

    def test_workers_on_a_core_of_their_own_are_held_against_what_the_costs_imply(self) -> None:
        costs = {"worker": 0.9, "kafka": 0.2, "mongodb": 1.8}
        mixed = [structs.replace(each, cpu_s_per_100k_events=costs) for each in repeats([60_000.0] * 10)]
        apart = {
            held.part: held for held in targets.held({"worker-1": mixed, "worker-1-apart": repeats([48_000.0] * 10)})
        }
        [pair, *_] = apart["worker-1-apart"].pairs
        assert (pair.against, pair.ratio) == (pytest.approx(50_000.0), pytest.approx(0.96))

    def test_what_was_not_measured_is_not_judged(self) -> None:
        alone = targets.held({"worker-1": repeats([1.0])})
        assert targets.held({"worker-1": repeats([1.0]), "insert-1": repeats([1.0])}) == alone
        assert {held.quantity for held in alone} == {
            "CPU-s per 100k events",
            "MB",
        }

    def test_a_round_with_a_void_repeat_has_no_pair_and_its_replacement_counts(self) -> None:
        ours, theirs = repeats([970.0] * 10), repeats([1_000.0] * 10)
        ours.insert(2, structs.replace(ours[2], events_per_s=10.0, valid=False))  # round 3, replaced
        theirs[4] = structs.replace(theirs[4], valid=False)  # round 5, never valid
        measured = {"worker-1": ours, "insert-1": repeats([400.0] * 10), "insert-2": theirs}
        [target] = [held for held in targets.held(measured) if held.quantity == "events/s"]
        assert [(pair.round, pair.value, pair.against) for pair in target.pairs] == [
            (number, 970.0, 1_000.0) for number in range(1, 11) if number != 5
        ]
        assert target.verdict == "cannot tell"

    def test_every_target_names_loops_and_parts_that_there_are(self) -> None:
        loops_, parts = {loop.name for loop in loops.every(2)}, {loop.name for loop in loops.parts(apart=True)}
        for target in targets.TARGETS:
            assert target.part in parts
            assert set(target.against) <= loops_ | parts
            assert bool(target.against) != bool(target.limit)


class TestWhatRepeatsComeTo:
    def test_without_cpu_time_there_is_a_mean_and_no_interval(self) -> None:
        asked = CeilingsRequest(DRAINS, 2, Traffic())
        each = repeats([1_000.0, 2_000.0])
        idle = [structs.replace(each[0], cpu_s_per_100k_events={"client": 0.0}), each[1]]
        of_loop = {loop.name: idle for loop in asked.loops}
        conclusion = summary.conclude(asked, of_loop, settings=Settings(), fingerprint="", where="local", took_s=1.0)
        assert conclusion.loops[0].cpu_s_per_100k_events["client"] == Interval(2, 0.5)

    def test_every_repeat_is_kept_and_cost_has_an_interval_too(self) -> None:
        asked = CeilingsRequest(DRAINS, 3, Traffic())
        whole = found(place(), asked)
        assert [loop.name for loop in whole.loops] == [loop.name for loop in asked.loops]
        assert [each.events_per_s for each in whole.loops[0].repeats] == [1_000.0, 2_000.0, 4_000.0]
        assert whole.loops[0].cpu_s_per_100k_events["client"].mean == pytest.approx((0.5 * 1.0 * 1.5) ** (1 / 3))
        assert msgspec.json.decode(msgspec.json.encode(whole), type=Ceilings) == whole

    def test_void_repeats_are_kept_but_not_counted_and_a_loop_with_no_valid_one_is_left_out(self) -> None:
        asked = CeilingsRequest(DRAINS, 3, Traffic())
        of_loop = {loop.name: repeats([1_000.0, 2_000.0, 4_000.0]) for loop in asked.loops}
        first, second = asked.loops[0].name, asked.loops[1].name
        void = structs.replace(of_loop[first][0], valid=False, events_per_s=1.0, disturbance=Disturbance(0.0, 0.9))
        of_loop[first].insert(0, void)
        of_loop[second] = [void]
        conclusion = summary.conclude(asked, of_loop, settings=Settings(), fingerprint="", where="local", took_s=1.0)
        assert [loop.name for loop in conclusion.loops] == [loop.name for loop in asked.loops if loop.name != second]
        assert (conclusion.loops[0].events_per_s.n, conclusion.loops[0].repeats[0]) == (3, void)
        assert conclusion.loops[0].events_per_s.mean == pytest.approx(2_000.0)
        assert conclusion.disturbance == Disturbance(0.0, 0.0)
        assert "1 repeats, of " + first in " ".join(ceilings._remarks(conclusion, Bounds()))

    def test_long_repeats_weigh_more_in_what_others_used(self) -> None:
        long, short = repeats([100.0], others=0.1)[0], repeats([1_000.0], others=0.4)[0]
        assert summary.disturbance([long, short]) == Disturbance(pytest.approx((10 * 0.1 + 1 * 0.4) / 11), 0.0)
        assert summary.disturbance([structs.replace(long, disturbance=None)]) is None

    def test_the_generator_s_calibration_stands_among_the_loops_once(self) -> None:
        calibrated = Calibration(
            fingerprint="abc",
            measured_at="2026-11-22T21:00:00Z",
            took_s=18.0,
            highest_events_per_s=40_000.0,
            beyond=False,
            cpu_s_per_100k_events=0.8,
            schedule_delay_p99_ms=10.0,
            generator_cpu_share=0.8,
            disturbance=None,
            stairs=[],
        )
        bare = found(place(), CeilingsRequest(DRAINS, 3, Traffic()))
        once = summary.with_generator(bare, calibrated)
        assert once.loops[-1].events_per_s == Interval(1, 40_000.0)
        assert once.loops[-1].cpu_s_per_100k_events == {"generator": Interval(1, 0.8)}
        assert summary.with_generator(once, calibrated) == once
        assert summary.with_generator(once, None) == bare
        assert summary.with_generator(bare, structs.replace(calibrated, highest_events_per_s=None)) == bare


class TestReplacing:
    def attempts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stolen: Sequence[float]) -> list[LoopRepeat]:
        """Measure one loop in one round, of whose attempts the host takes so much, one after the other."""
        shares = iter(stolen)

        async def repeat(*_: object) -> LoopMeasurement:
            return LoopMeasurement(events=1_000, took_s=2.0, cpu_s={}, disturbance=Disturbance(0.0, next(shares)))

        monkeypatch.setattr(session._Bench, "repeat", repeat)
        asked = CeilingsRequest((next(loop for loop in loops.every(2) if loop.name == "insert-2"),), 1, Traffic())
        return asyncio.run(session.measure(asked, place().servers, tmp_path, print, "x-"))["insert-2"]

    def test_a_void_repeat_is_replaced_at_most_twice(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def valid(*stolen: float) -> list[bool]:
            return [each.valid for each in self.attempts(monkeypatch, tmp_path, stolen)]

        assert valid(0.25, 0.0) == [True]
        assert valid(0.26, 0.5, 0.1) == [False, False, True]
        assert valid(0.26, 0.5, 0.9, 0.0) == [False, False, False]


class TestTheMeter:
    def test_what_lies_between_two_readings(self) -> None:
        cores = os.cpu_count() or 1
        before = Reading(0, {"client": 1.0, "kafka": 5.0}, Machine(100.0, 1.0))
        after = Reading(2_000_000_000, {"client": 2.5, "kafka": 5.5}, Machine(102.5, 1.2))
        seen = meter.measured(before, after, 1_000)
        assert (seen.events, seen.took_s) == (1_000, 2.0)
        assert seen.cpu_s == {"client": 1.5, "kafka": 0.5}
        there_s = 2.0 * cores
        assert seen.disturbance == Disturbance(pytest.approx(0.5 / there_s), pytest.approx(0.2 / there_s))

    def test_cpu_time_of_this_process_and_of_others_grows(self) -> None:
        reader = Meter({"harness": [os.getppid()]})
        before = reader.read()
        until_s = time.process_time() + 0.05
        while time.process_time() < until_s:
            pass
        seen = meter.measured(before, reader.read(), 1)
        assert 0.05 <= seen.cpu_s["client"] < 5.0
        assert seen.cpu_s["harness"] >= 0.0

    def test_a_missing_process_is_an_error(self) -> None:
        with pytest.raises(RepeatError, match="has ended"):
            Meter({"kafka": [2**22 + 1]})

    def test_a_repeat_names_the_servers_of_its_loop_alone(self) -> None:
        seen = LoopMeasurement(
            events=50_000,
            took_s=2.0,
            cpu_s={"client": 1.0, "kafka": 0.25, "mongodb": 9.0, "harness": 9.0},
            service_time_ms=None,
            disturbance=Disturbance(0.0, 0.0),
        )
        consume = next(loop for loop in loops.every(2) if loop.kind == loops.CONSUME)
        repeat = session._loop_repeat(consume, 2, 3, seen, Bounds())
        assert (repeat.round, repeat.place, repeat.events_per_s) == (2, 3, 25_000.0)
        assert repeat.cpu_s_per_100k_events == {"client": 2.0, "kafka": 0.5}


class TestTheMaterial:
    def test_documents_are_those_of_a_worker(self) -> None:
        batches = material.document_batches(Traffic(), 4_500, 2_000)
        assert [len(batch) for batch in batches] == [2_000, 2_000, 500]
        document = batches[0][0]
        assert list(document) == ["_id", "event_type", "user_id", "props", "timestamp"]
        assert "tidemark" in document["props"]
        assert len({each["_id"] for batch in batches for each in batch}) == 4_500
        assert len(bson.encode(document)) > 200

    def test_documents_are_not_all_of_one_moment(self) -> None:
        batches = material.document_batches(Traffic(), 40_000, 2_000)
        moments = [max(each["timestamp"] for each in batch) for batch in batches]
        assert len(set(moments)) > 1
        assert moments == sorted(moments)

    def test_large_events_make_small_batches_and_fewer_of_them(self) -> None:
        large = Traffic(payload_bytes=60_000)
        assert material.fitting(400_000, large) == 256 * 1024 * 1024 // 60_000
        assert material.fitting(400_000, Traffic()) == 400_000
        bounded = material.bounded(large)
        assert bounded.table_events == material.fitting(400_000, large)
        assert material.bounded(Traffic()) == Traffic()
        few = structs.replace(large, table_events=64)
        assert [len(batch) for batch in material.document_batches(few, 200, 2_000)] == [139, 61]

    def test_requests_hold_events_with_the_topic_and_key_that_the_api_would_give_them(self) -> None:
        kafka = Kafka(topic_prefix="t.")
        requests = material.requests(Traffic(), 250, 100, kafka)
        assert [len(request) for request in requests] == [100, 100, 50]
        for message in requests[0]:
            event = msgspec.json.decode(message.value)
            known = event["event"] if event["event"] in kafka.event_types else "generic"
            assert (message.topic, message.key) == (f"t.{known}", event["user_id"].encode())

    def test_http_requests_are_whole(self) -> None:
        for batch, path in ((1, b"/track"), (3, b"/track/batch")):
            head, _, body = material.http_requests(Traffic(), 2, batch, "here:1")[1].partition(b"\r\n\r\n")
            assert head.startswith(b"POST " + path + b" HTTP/1.1\r\nHost: here:1\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            assert body.count(b'"event_id"') == batch


@asynccontextmanager
async def listening(protocol: type[asyncio.Protocol]) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def task_of(url: str, batch: int, longest_s: float = 20.0) -> Task:
    loop = next(each for each in loops.every(2) if each.kind == loops.HANDLER and each.batch == batch)
    small = structs.replace(loop, events=200 * batch, warm_up=50 * batch)
    return Task(loop=small, traffic=Traffic(), pids={}, longest_s=longest_s, result="", url=url)


class Cutting(asyncio.Protocol):
    """Answers in pieces, and each answer has another length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.answered = 0

    def data_received(self, _: bytes) -> None:
        self.answered += 1
        body = b"x" * (self.answered % 7)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for at in range(0, len(answer), 9):
            self.transport.write(answer[at : at + 9])


class Refusing(Cutting):
    """Answers that it cannot."""

    def data_received(self, _: bytes) -> None:
        self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


class Closing(Cutting):
    """Closes instead of an answer."""

    def data_received(self, _: bytes) -> None:
        self.transport.close()


class Silent(Cutting):
    """Never answers."""

    def data_received(self, _: bytes) -> None:
        pass


class TestTheClient:
    @pytest.mark.parametrize("batch", [1, 100])
    @pytest.mark.parametrize("server", [nullsink.NullSinkConnection, Cutting])
    async def test_a_load_counts_the_requested_number_of_answers_after_the_warm_up(self, server, batch: int) -> None:
        async with listening(server) as url:
            seen = await loading.measure(task_of(url, batch), Settings())
        assert seen.events == 200 * batch
        assert seen.took_s > 0
        assert seen.service_time_ms is not None
        assert 0 < (seen.service_time_ms.p50 or 0) <= (seen.service_time_ms.max or 0)
        assert seen.service_time_ms.p99 is None  # 200 requests have no 10 beyond it

    @pytest.mark.parametrize(
        ("server", "words"), [(Refusing, "answered HTTP/1.1 503"), (Closing, "closed a connection")]
    )
    async def test_what_is_no_answer_ends_it(self, server, words: str) -> None:
        async with listening(server) as url:
            with pytest.raises(RepeatError, match=words):
                await loading.measure(task_of(url, 1), Settings())

    async def test_a_server_that_does_not_answer_is_not_waited_for_without_end(self) -> None:
        async with listening(Silent) as url:
            with pytest.raises(RepeatError, match="does not answer"):
                await loading.measure(task_of(url, 1, longest_s=0.1), Settings())


def test_the_null_handler_has_the_api_s_two_routes_and_no_other() -> None:
    app = application()
    assert {route.path for route in app.router.routes} == {"track", "track/batch"}


class TestWhatIsKept:
    def test_what_matters_changes_the_fingerprint_and_nothing_else_does(self) -> None:
        same = freshness.fingerprint(place())
        changed = structs.replace
        far = Settings(kafka=Kafka(bootstrap_servers="far:9092"))
        assert freshness.fingerprint(place(bounds=Bounds(unsent=3))) == same
        assert freshness.fingerprint(place(here=changed(HERE, git_revision="def"))) == same
        assert freshness.fingerprint(place(servers=Servers(far, {"kafka": [1]}, {}))) == same  # another port each time
        others = [
            freshness.fingerprint(place(here=changed(HERE, versions={"kafka": "4.4.0"}))),
            freshness.fingerprint(place(here=changed(HERE, kernel="Linux, newer"))),
            freshness.fingerprint(place(where="far:9092 and mongodb://db")),
            freshness.fingerprint(place(traffic=Traffic(payload_bytes=1_024))),
        ]
        assert len({same, *others}) == 5

    def test_every_part_of_the_fingerprinted_code_is_there(self) -> None:
        assert [pattern for pattern in freshness._CODE if not list(freshness._ROOT.glob(pattern))] == []

    def test_servers_of_the_user_s_own_are_named_without_the_password(self) -> None:
        settings = Settings(mongo=structs.replace(Settings().mongo, uri="mongodb://me:secret@db/"))
        assert freshness.where(settings, local=False) == "localhost:9092 and mongodb://me:***@db/"
        assert freshness.where(settings, local=True) == "local"

    def test_they_are_fresh_for_a_day_and_for_an_hour_if_the_machine_was_not_quiet(self, tmp_path: Path) -> None:
        asked = CeilingsRequest(DRAINS, 3, Traffic())
        for others, age_s, fresh in ((0.0, 23.9, True), (0.0, 24.1, False), (0.3, 0.9, True), (0.3, 1.1, False)):
            there = found(place(), asked, others)
            keep(tmp_path, there, age_s * 3_600)
            assert freshness.kept(tmp_path, place(), asked) == (there if fresh else None)

    def test_they_count_only_with_all_loops_and_rounds_that_are_wanted(self, tmp_path: Path) -> None:
        there = found(place(), CeilingsRequest(DRAINS, 2, Traffic()))
        assert freshness.kept(tmp_path, place(), CeilingsRequest(DRAINS, 1, Traffic())) is None
        keep(tmp_path, there)
        assert freshness.kept(tmp_path, place(), CeilingsRequest(DRAINS[:1], 1, Traffic())) == there
        assert freshness.kept(tmp_path, place(), CeilingsRequest(DRAINS, 3, Traffic())) is None
        assert freshness.kept(tmp_path, place(), CeilingsRequest(loops.every(2), 2, Traffic())) is None
        assert freshness.kept(tmp_path, place(traffic=Traffic(users=5)), CeilingsRequest(DRAINS, 1, Traffic())) is None


class TestWhatARunDoes:
    """Nothing is measured here: where that would be next, the test fails."""

    @pytest.fixture(autouse=True)
    def _unmeasured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def measured(*_: object) -> Ceilings:
            raise RepeatError("it was going to measure")

        monkeypatch.setattr(freshness, "measure", measured)
        monkeypatch.setattr(machine, "with_servers", lambda *_: HERE)

    def tell(
        self, cache: Path, into: Path, name: str = "smoke", choice: machine.Choice = "auto"
    ) -> tuple[BundleWriter, str]:
        wanted = matrix.load(name)
        drains = structs.replace(
            wanted, cells=tuple(cell for cell in wanted.cells if not kinds.named(cell.kind).through_http)
        )
        base = Settings(local=structs.replace(Settings().local, cache_dir=str(cache)))
        into.mkdir()
        bundle, said = BundleWriter(into), []
        recording = machine.record(
            bundle, drains, Servers(base, {}, {}), local=True, ceilings=choice, on_progress=said.append
        )
        asyncio.run(recording)
        return bundle, "\n".join(said)

    def test_a_short_run_takes_what_is_kept_and_measures_nothing(self, tmp_path: Path) -> None:
        bundle, said = self.tell(tmp_path, tmp_path / "one")
        assert (bundle.read_ceilings(), "./tidemark bench ceilings" in said) == (None, True)
        there = found(place(), CeilingsRequest(DRAINS, 1, Traffic()))
        keep(tmp_path, there)
        bundle, said = self.tell(tmp_path, tmp_path / "two")
        assert bundle.read_ceilings() == there
        assert there.measured_at in said

    def test_a_long_run_measures_and_goes_on_where_that_fails(self, tmp_path: Path) -> None:
        keep(tmp_path, found(place(), CeilingsRequest(DRAINS[:1], 1, Traffic())))  # of too few loops for it
        bundle, said = self.tell(tmp_path, tmp_path / "run", "full")
        assert "about" in said
        assert "could not be measured: it was going to measure" in said
        assert bundle.read_ceilings() is None

    def test_the_user_may_have_them_measured_in_any_case_or_not_at_all(self, tmp_path: Path) -> None:
        keep(tmp_path, found(place(), CeilingsRequest(loops.every(2), 3, Traffic())))
        _, said = self.tell(tmp_path, tmp_path / "always", choice="always")
        assert "it was going to measure" in said
        bundle, said = self.tell(tmp_path, tmp_path / "never", choice="never")
        assert (bundle.read_ceilings(), said) == (None, "")

    def test_a_tenth_of_the_run_and_three_rounds_are_the_most(self) -> None:
        assert [machine.rounds_of(run_s, 30.0) for run_s in (40, 149, 150, 599, 600, 3_600)] == [0, 0, 1, 1, 2, 3]

    def test_smoke_never_measures_by_itself_and_full_measures_three_rounds(self) -> None:
        for name, rounds in (("smoke", 0), ("quick", 1), ("full", 3)):
            wanted = matrix.load(name)
            needed = loops.needed({cell.kind for cell in wanted.cells}, 2)
            expected_s = machine.plan.expected_s(machine.plan.order(wanted), search_s=wanted.search_s)
            assert machine.rounds_of(expected_s, loops.round_s(needed)) == rounds


class TestTheTable:
    def test_it_has_a_row_a_loop_and_says_what_has_to_be_known(self, capsys: pytest.CaptureFixture[str]) -> None:
        measured = structs.replace(
            found(place(), CeilingsRequest(loops.every(2), 3, Traffic()), others=0.4), servers="far"
        )
        ceilings.Console(width=80).print(ceilings.shown(measured, Bounds()))
        text = capsys.readouterr().out
        assert "…" not in text
        for loop in loops.every(2):
            assert f"{loop.name} " in text
        assert "2,000" in text
        words = " ".join(text.split())
        assert "Caution: the machine was used beside the loops (40% by other programs" in words
        assert "Kafka and MongoDB are your own" in words

    def test_rates_are_shown_with_three_digits(self) -> None:
        assert [ceilings._thousands(rate) for rate in (703.0, 7_026.0, 45_259.0, 387_130.0, 1_387_130.0)] == [
            "0.70k",
            "7.03k",
            "45.3k",
            "387k",
            "1387k",
        ]

    def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none" / "file.json"):
            with pytest.raises(UsageError, match="cannot be written"):
                ceilings.run(ceilings.Wanted(1, json=path), Settings(), local=True)
