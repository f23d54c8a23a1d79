"""Kafka's and mongod's answers, as real servers gave them, become figures; what is no answer becomes none.

Both files in data/ hold two answers. Kafka 4.3.1 with the agent Jolokia 2.6.0 gave them before and after a producer
sent it 10,000 records of 200 bytes; mongod 6.0.5, a replica set of one, before and after 5,000 documents were inserted.
The latter are cut down to the sections and counters that are asked about here. Both recorded with the readers' own
requests on 2026-11-22.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.observe import kafkacounters, mongocounters
from bench.observe.kafkacounters import KafkaReader
from bench.observe.mongocounters import MongoReader
from bench.observe.scraper import CounterSeries, Figures
from pipeline.settings import Mongo

DATA = Path(__file__).parents[2] / "data"
S = 1_000_000_000
OF_ALL_HANDLERS = {"request": {}, "value": 3_399_380_590, "status": 200}  # brokers of 4.3.1 tell this too
KAFKA: list[list[dict[str, Any]]] = [
    [*answers, OF_ALL_HANDLERS] for answers in json.loads((DATA / "kafka-4.3.1-jolokia-2.6.0.json").read_text())
]
KAFKA_3: list[dict[str, Any]] = json.loads((DATA / "kafka-3.9.2-jolokia-2.6.0.json").read_text())
MONGOD: list[dict[str, Any]] = json.loads((DATA / "mongod-6.0.5-serverstatus.json").read_text())


def a_second_apart(first: Figures | None, second: Figures | None) -> CounterSeries:
    assert first is not None
    assert second is not None
    return CounterSeries(np.array([0, S]), {name: np.array([first[name], second[name]]) for name in first})


def test_kafka_reports_bytes_messages_queue_and_how_busy_its_handlers_were() -> None:
    use = kafkacounters.use(a_second_apart(*map(kafkacounters.figures_of, KAFKA)), 0, S)
    assert use is not None
    assert use.messages_in_per_s == 10_000
    assert use.bytes_in_per_s == 2_099_762  # 200 bytes each, and what a record has around them
    assert (use.bytes_out_per_s, use.request_queue_max) == (0, 0)
    assert use.handlers_busy_share == pytest.approx(1 - (1_114_255_960 - 741_409_073) / 1e9)


def test_of_kafka_3_the_idle_time_has_another_name() -> None:
    figures = kafkacounters.figures_of(KAFKA_3)
    assert figures is not None
    assert figures["handlers_idle_ns"] == 877_580_868


def test_kafka_s_columns_have_a_value_a_second() -> None:
    columns = kafkacounters.columns(a_second_apart(*map(kafkacounters.figures_of, KAFKA)), np.array([0, S, 2 * S]))
    assert set(columns) == {
        "kafka_bytes_in",
        "kafka_bytes_out",
        "kafka_messages_in",
        "kafka_handlers_busy_share",
        "kafka_request_queue",
    }
    assert np.array_equal(columns["kafka_messages_in"], [10_000, np.nan], equal_nan=True)


def test_a_figure_that_kafka_does_not_have_is_left_out_and_the_others_stay() -> None:
    """As the agent answers to an MBean that is not there: with a status of its own in a list of the same length."""
    answers = [dict(each) for each in KAFKA[0]]
    for place in (3, 5):
        answers[place] = {"request": answers[place]["request"], "status": 404, "error": "no such MBean"}
    figures = kafkacounters.figures_of(answers)
    assert figures is not None
    assert set(figures) == {"bytes_in", "bytes_out", "messages_in", "request_queue"}
    use = kafkacounters.use(a_second_apart(figures, figures), 0, S)
    assert use is not None
    assert use.handlers_busy_share is None


@pytest.mark.parametrize("answer", [{"status": 403, "error": "not allowed"}, [], None, [None] * 6])
def test_what_is_no_answer_of_the_agent_gives_no_figures(answer: object) -> None:
    assert kafkacounters.figures_of(answer) is None


@pytest.fixture
def agent() -> Iterator[ThreadingHTTPServer]:
    """What a port answers that the agent's has become: another server's page."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_reader_whose_server_is_another_or_gone_gives_none(agent: ThreadingHTTPServer) -> None:
    assert KafkaReader(f"http://127.0.0.1:{agent.server_port}/jolokia/").read() is None
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        assert KafkaReader(f"http://127.0.0.1:{port}/jolokia/").read() is None


def test_a_server_that_hangs_costs_no_more_than_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafkacounters, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(mongocounters, "_TIMEOUT_MS", 50)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        kafka, mongo = KafkaReader(f"http://127.0.0.1:{port}/"), MongoReader(Mongo(uri=f"mongodb://127.0.0.1:{port}/"))
        assert kafka.read() is None
        assert mongo.read() is None
        kafka.close()
        mongo.close()


def test_mongod_reports_inserts_tickets_cache_and_journal() -> None:
    use = mongocounters.use(a_second_apart(*map(mongocounters.figures_of, MONGOD)), 0, S)
    assert use is not None
    assert use.inserts_per_s == 5_000
    assert (use.write_tickets, use.write_tickets_used_max, use.queued_writers_max) == (128, 0, 0)
    assert use.cache_used_share_max == pytest.approx(4_737_043 / 2**30)
    assert use.cache_dirty_share_max == pytest.approx(4_709_523 / 2**30)
    assert use.journal_bytes_per_s == 332_800 - 96_768
    assert use.journal_sync_share == pytest.approx((50_344 - 45_340) / 1e6)
    assert use.network_in_bytes_per_s == 692_933 - 6_301


def test_mongod_s_columns_have_a_value_a_second() -> None:
    columns = mongocounters.columns(a_second_apart(*map(mongocounters.figures_of, MONGOD)), np.array([0, S, 2 * S]))
    assert np.array_equal(columns["mongodb_inserts"], [5_000, np.nan], equal_nan=True)
    assert columns["mongodb_cache_used_share"][1] == pytest.approx(4_737_043 / 2**30)
    assert columns["mongodb_journal_sync_s"][0] == pytest.approx(0.005_004)


def test_tickets_are_found_where_mongod_8_has_them() -> None:
    moved = {**MONGOD[0], "wiredTiger": {}, "queues": {"execution": MONGOD[0]["wiredTiger"]["concurrentTransactions"]}}
    figures = mongocounters.figures_of(moved)
    assert (figures["write_tickets"], figures["write_tickets_used"]) == (128, 0)
    assert "cache_used_bytes" not in figures
    use = mongocounters.use(a_second_apart(figures, figures), 0, S)
    assert use is not None
    assert (use.write_tickets, use.cache_used_share_max, use.journal_sync_share) == (128, None, None)


def test_without_a_report_of_a_server_there_is_no_usage() -> None:
    assert kafkacounters.use(CounterSeries(), 0, S) is None
    assert mongocounters.use(CounterSeries(), 0, S) is None
    assert kafkacounters.columns(CounterSeries(), np.array([0, S])) == {}
    assert mongocounters.columns(CounterSeries(), np.array([0, S])) == {}
