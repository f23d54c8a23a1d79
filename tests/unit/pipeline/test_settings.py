"""Settings: where they come from, what wins, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingError, UsageError
from pipeline.settings import Api, Kafka, Local, Mongo, Settings, Worker, load, to_environment


def in_file(path: Path, text: str) -> dict[str, str]:
    path.write_text(text)
    return {"PIPELINE_SETTINGS_FILE": str(path)}


def test_nothing_set_gives_the_seeds_names_and_ports() -> None:
    settings = load({"HOME": "/root"})
    assert settings == Settings()
    assert (settings.kafka.bootstrap_servers, settings.api.port) == ("localhost:9092", 8000)
    assert (settings.mongo.database, settings.mongo.collection) == ("analytics", "analytics_events")


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    environment = in_file(tmp_path / "s.toml", "[kafka]\npartitions = 5\nreplication_factor = 2\n")
    settings = load({**environment, "PIPELINE_KAFKA_PARTITIONS": "7"})
    assert (settings.kafka.partitions, settings.kafka.replication_factor) == (7, 2)
    assert settings.kafka.retention_ms == Kafka().retention_ms


def test_a_list_is_separated_by_commas_in_the_environment_and_a_list_in_the_file(tmp_path: Path) -> None:
    given = load({"PIPELINE_KAFKA_EVENT_TYPES": "page_view, signup,, purchase"})
    assert given.kafka.event_types == ("page_view", "signup", "purchase")
    assert load({"PIPELINE_KAFKA_EVENT_TYPES": ""}).kafka.event_types == ()
    assert load(in_file(tmp_path / "s.toml", '[kafka]\nevent_types = ["a"]')).kafka.event_types == ("a",)


def test_what_goes_to_another_process_arrives_as_it_was() -> None:
    settings = Settings(
        kafka=Kafka(bootstrap_servers="a:1,b:2", topic_prefix="", event_types=(), partitions=9),
        mongo=Mongo(uri="mongodb://a:1,b:2/?replicaSet=x", journal=False, write_concern="1"),
        api=Api(request_timeout_s=0.5, cors_origins=("https://a", "https://b"), acks="1"),
        worker=Worker(retry_pause_s=1e-3),
        local=Local(keep_data=True, data_dir="~/d"),
        observer="a.b:c",
    )
    assert load(to_environment(settings)) == settings
    assert to_environment(Settings()) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIPELINE_KAFKA_PARTITIONS", "0"),
        ("PIPELINE_KAFKA_PARTITIONS", "three"),
        ("PIPELINE_KAFKA_EVENT_TYPES", "page view"),
        ("PIPELINE_API_PORT", "65536"),
        ("PIPELINE_API_REQUEST_TIMEOUT_S", "inf"),
        ("PIPELINE_API_REQUEST_TIMEOUT_S", "nan"),
        ("PIPELINE_MONGO_WRITE_CONCERN", "most"),
        ("PIPELINE_MONGO_JOURNAL", "perhaps"),
        ("PIPELINE_WORKER_BATCH_MAX_BYTES", str(16 * 1024 * 1024)),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({name: value})
    assert f"{name}={value!r} cannot be used" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_misspelt_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingError, match="'partitions': did you mean that"):
        load({"PIPELINE_KAFKA_PARTITION": "3"})
    with pytest.raises(SettingError, match="PIPELINE_KAFKA_"):
        load({"PIPELINE_KAFFKA_PARTITIONS": "3"})


def test_a_file_is_refused_with_the_place_in_it(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    with pytest.raises(SettingError, match=r"kafka\.partitions in .*s\.toml"):
        load(in_file(path, '[kafka]\npartitions = "3"'))
    with pytest.raises(SettingError, match="'kafka': did you mean that"):
        load(in_file(path, "[kafkas]\npartitions = 3"))
    with pytest.raises(UsageError, match="is not TOML"):
        load(in_file(path, "[kafka"))
    with pytest.raises(UsageError, match="cannot be read"):
        load({"PIPELINE_SETTINGS_FILE": str(tmp_path / "none.toml")})


def test_a_file_may_hold_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        load({"PIPELINE_SETTINGS_FILE": str(path)})


def test_workers_must_not_read_their_own_dead_letters() -> None:
    with pytest.raises(SettingError, match="DEAD_LETTER_TOPIC"):
        load({"PIPELINE_KAFKA_DEAD_LETTER_TOPIC": "events_generic"})
    with pytest.raises(SettingError, match="DEAD_LETTER_TOPIC"):
        load({"PIPELINE_KAFKA_TOPIC_PREFIX": "dead_", "PIPELINE_KAFKA_EVENT_TYPES": "letters"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIPELINE_DASHBOARD_GROUP_ID", "analytics_workers"),
        ("PIPELINE_DASHBOARD_TOKEN", "short"),
        ("PIPELINE_DASHBOARD_TOKEN", "sixteen characters"),
        ("PIPELINE_DASHBOARD_FUNNEL", "page_view,:/signup"),
        ("PIPELINE_DASHBOARD_FUNNEL", ",".join(map(str, range(9)))),
        ("PIPELINE_DASHBOARD_REFRESH_S", "0"),
        ("PIPELINE_DASHBOARD_MAX_VIEWERS", "0"),
    ],
)
def test_a_setting_of_the_dashboard_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError) as raised:
        load({name: value})
    assert raised.value.setting == name
    if "TOKEN" in name:
        assert value not in str(raised.value)
