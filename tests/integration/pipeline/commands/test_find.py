"""``./tidemark find``: stored events as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymongo import MongoClient

from pipeline.settings import Settings, to_environment

ROOT = Path(__file__).resolve().parents[4]


def find(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "find", *arguments],
        cwd=ROOT,
        env={**os.environ, **to_environment(settings), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def stored(settings: Settings) -> Settings:
    with MongoClient(settings.mongo.uri) as client:
        client[settings.mongo.database][settings.mongo.collection].insert_many(
            {
                "_id": number,
                "event_type": "page_view",
                "user_id": f"ü{number % 2}",
                "props": {"n": number},
                "timestamp": datetime(2026, 1, 1 + number, tzinfo=UTC),
            }
            for number in range(30)
        )
    return settings


def numbers(done: subprocess.CompletedProcess[str]) -> list[int]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["_id"] for line in done.stdout.splitlines()]


def test_without_arguments_it_prints_the_newest_twenty(stored: Settings) -> None:
    done = find(stored)
    assert numbers(done) == list(range(29, 9, -1))
    assert json.loads(done.stdout.splitlines()[0]) == {
        "_id": 29,
        "event_type": "page_view",
        "user_id": "ü1",
        "props": {"n": 29},
        "timestamp": {"$date": "2026-01-30T00:00:00Z"},
    }
    assert "20 of " in done.stderr
    assert "--limit" in done.stderr


def test_filter_limit_and_order_are_those_asked_for(stored: Settings) -> None:
    assert numbers(find(stored, '{"user_id": "ü1"}', "--sort", "props.n", "--limit", "3")) == [1, 3, 5]
    since = '{"timestamp": {"$gte": {"$date": "2026-01-29T00:00:00Z"}}}'
    assert numbers(find(stored, since, "--sort", "-props.n")) == [29, 28]
    assert numbers(find(stored, '{"user_id": "nobody"}')) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{user_id: 123}", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"_id": {"$oid": "x"}}', "is not JSON"),
        ('{"a": {"$near_enough": 1}}', "$near_enough"),
    ],
)
def test_an_invalid_filter_is_a_one_line_error_and_exit_2(stored: Settings, given: str, words: str) -> None:
    done = find(stored, given)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_filter_that_takes_too_long_is_ended(stored: Settings) -> None:
    slow = '{"$where": "sleep(1000) || true"}'
    done = find(stored, slow, PIPELINE_MONGO_TIMEOUT_MS="500")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_named_with_what_to_do(stored: Settings) -> None:
    away = {"PIPELINE_MONGO_URI": "mongodb://127.0.0.1:9/", "PIPELINE_MONGO_TIMEOUT_MS": "300"}
    done = find(stored, **away)
    assert done.returncode == 2
    assert "does not answer: start it" in done.stderr
