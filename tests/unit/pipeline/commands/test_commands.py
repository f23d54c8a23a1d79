"""The command line of the pipeline where it needs no servers: help, usage, exit codes, what is shown."""

from __future__ import annotations

import errno
import io
import os

import pytest

from pipeline import __main__ as command_line
from pipeline.commands import up
from pipeline.commands.display import StatusDisplay, StatusRow
from pipeline.commands.progress import EventCounts
from pipeline.errors import UsageError
from pipeline.settings import Kafka, Mongo, Settings

COMMANDS = ["up", "api", "worker", "init", "check", "dead-letters"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_and_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main([command, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert f"./tidemark {command}" in printed.partition("examples")[2]
    assert "exit codes" in printed


@pytest.mark.parametrize(
    "arguments", [[], ["upp"], ["up", "--workers", "0"], ["up", "--api-port", "70000"], ["dead-letters"]]
)
def test_bad_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_an_invalid_setting_is_a_one_line_error_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPELINE_KAFKA_PARTITIONS", "none")
    assert command_line.main(["check"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: PIPELINE_KAFKA_PARTITIONS='none'")
    assert printed.count("\n") == 1


def test_a_crash_shows_where_and_exits_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def crash(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "_check", crash)
    assert command_line.main(["check"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "is full"), (errno.EROFS, "read-only"), (errno.EACCES, "may not be written")]
)
def test_a_folder_that_cannot_be_written_is_named_with_what_to_do_and_exits_2(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number), "/some/folder")

    monkeypatch.setattr(command_line, "_check", fail)
    assert command_line.main(["check"]) == 2
    said = capsys.readouterr().err
    assert "/some/folder" in said
    assert words in said
    assert "PIPELINE_LOCAL_CACHE_DIR" in said
    assert "Traceback" not in said


def test_an_interrupt_before_all_is_up_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_check", interrupt)
    assert command_line.main(["check"]) == 130


def test_own_servers_are_named_both_or_not_at_all() -> None:
    neither, both = Settings(), Settings(kafka=Kafka(bootstrap_servers="k:1"), mongo=Mongo(uri="mongodb://m:1"))
    assert not up.names_own_servers(neither, {})
    assert up.names_own_servers(both, {})
    # Said aloud, the defaults are servers of one's own too.
    names = {"PIPELINE_KAFKA_BOOTSTRAP_SERVERS": "localhost:9092", "PIPELINE_MONGO_URI": "mongodb://localhost:27017"}
    assert up.names_own_servers(neither, names)
    with pytest.raises(UsageError, match="PIPELINE_MONGO_URI"):
        up.names_own_servers(Settings(kafka=both.kafka), {})
    with pytest.raises(UsageError, match="PIPELINE_KAFKA_BOOTSTRAP_SERVERS"):
        up.names_own_servers(Settings(mongo=both.mongo), {})


def test_counts_begin_where_up_began_and_what_is_away_is_a_question_mark() -> None:
    now = EventCounts(accepted=1_234_567, stored=None, backlog=12).since(EventCounts(accepted=567, stored=5, backlog=3))
    out = io.StringIO()
    StatusDisplay(out).live(now)
    assert out.getvalue() == "accepted 1,234,000   stored ?   backlog 12\n"


def test_without_a_terminal_the_table_is_plain_aligned_lines() -> None:
    out = io.StringIO()
    StatusDisplay(out).table(
        [StatusRow("API", "http://localhost:8000", "1 process"), StatusRow("Kafka", "localhost:9092")]
    )
    assert out.getvalue().splitlines() == ["API    http://localhost:8000  1 process", "Kafka  localhost:9092"]
