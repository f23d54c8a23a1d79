"""Kafka's jars, fetched from a repository of this test's own, over HTTP."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jgo.maven import _core

from pipeline.errors import MissingPartError
from pipeline.local.datafolders import DataFolders
from pipeline.local.jars import AGENT_PINS_PATH, AGENT_VERSION, Pin, agent_jar, kafka_jars, read_pins
from pipeline.settings import Local

JARS = {"alpha": b"one" * 1_000, "beta": b"two" * 2_000}


def pin(artifact: str) -> Pin:
    content = JARS[artifact]
    return Pin(hashlib.sha256(content).hexdigest(), len(content), "org.example", artifact, "1.0")


PINS = (pin("alpha"), pin("beta"))


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Maven repository that jgo fetches from."""
    folder = tmp_path / "repository"
    for artifact, content in JARS.items():
        jar = folder / "org" / "example" / artifact / "1.0" / f"{artifact}-1.0.jar"
        jar.parent.mkdir(parents=True)
        jar.write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(_core, "DEFAULT_REMOTE_REPOS", {"here": f"http://127.0.0.1:{server.server_port}"})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("repository")
def test_jars_are_fetched_with_progress_and_the_second_time_found(tmp_path: Path) -> None:
    said: list[str] = []
    jars = kafka_jars(tmp_path / "cache", said.append, PINS)
    assert [jar.read_bytes() for jar in jars] == list(JARS.values())
    assert "0 of 2 jars" in said[0]
    assert "2 of 2 jars" in said[-2]
    assert list((tmp_path / "cache").iterdir()) == [jars[0].parent], "nothing of the download is left"

    said.clear()
    assert kafka_jars(tmp_path / "cache", said.append, PINS) == jars
    assert not said


@pytest.mark.usefixtures("repository")
def test_a_jar_that_was_changed_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    jars = kafka_jars(tmp_path / "cache", print, PINS)
    jars[1].write_bytes(b"changed")
    kafka_jars(tmp_path / "cache", print, PINS)
    assert jars[1].read_bytes() == JARS["beta"]


def test_a_jar_that_is_not_what_is_pinned_is_refused_and_kept_out(repository: Path, tmp_path: Path) -> None:
    (repository / "org" / "example" / "beta" / "1.0" / "beta-1.0.jar").write_bytes(b"malice")
    with pytest.raises(MissingPartError, match=r"beta-1\.0\.jar was downloaded and refused.*SHA-256"):
        kafka_jars(tmp_path / "cache", print, PINS)
    assert not list((tmp_path / "cache").iterdir())


def test_a_network_that_is_away_names_the_part_and_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_core, "DEFAULT_REMOTE_REPOS", {"nowhere": "http://127.0.0.1:1"})
    with pytest.raises(MissingPartError) as caught:
        kafka_jars(tmp_path / "cache", print, PINS)
    for words in ("Kafka 4.3.1", "docker compose", "PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI"):
        assert words in str(caught.value)


@pytest.mark.usefixtures("repository")
def test_a_cache_folder_that_cannot_be_written_is_not_a_network_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MissingPartError, match=r"the cache folder .* cannot be written .*PIPELINE_LOCAL_CACHE_DIR"):
        kafka_jars(tmp_path / "file" / "cache", print, PINS)


def test_servers_whose_data_cannot_be_written_name_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folders = DataFolders(Local(cache_dir=str(tmp_path / "file" / "cache")))
    with pytest.raises(MissingPartError, match=r"the cache folder .* cannot be written"):
        folders.make("kafka")


def test_every_jar_of_the_broker_is_pinned_once() -> None:
    pins = read_pins()
    names = [each.file_name for each in pins]
    assert len(set(names)) == len(names)
    assert all(len(each.sha256) == 64 and each.size_bytes > 0 for each in pins)
    versions = {each.artifact: each.version for each in pins}
    assert versions["kafka_2.13"] == "4.3.1"
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"], "the broker's log would be silent otherwise"


@pytest.mark.usefixtures("repository")
def test_the_agent_s_jar_is_fetched_like_kafka_s_by_its_own_pin(repository: Path, tmp_path: Path) -> None:
    content = b"agent" * 100
    folder = repository / "org" / "example" / "agent" / "1.0"
    folder.mkdir(parents=True)
    (folder / "agent-1.0-javaagent.jar").write_bytes(content)
    wanted = Pin(hashlib.sha256(content).hexdigest(), len(content), "org.example", "agent", "1.0", "javaagent")
    said: list[str] = []
    jar = agent_jar(tmp_path / "cache", said.append, (wanted,))
    assert (jar.name, jar.read_bytes()) == ("agent-1.0-javaagent.jar", content)
    assert all("the agent Jolokia" in each for each in said)


def test_the_agent_is_pinned_as_one_jar_of_its_version() -> None:
    (pinned,) = read_pins(AGENT_PINS_PATH)
    assert (pinned.version, pinned.classifier, len(pinned.sha256)) == (AGENT_VERSION, "javaagent", 64)
