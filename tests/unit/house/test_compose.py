"""The Compose files: valid by the Compose schema, and meaning what the documentation says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import settings as pipeline_settings

ROOT = Path(__file__).resolve().parents[3]
KRAFT = ROOT / "docker-compose.yml"
ZOOKEEPER = ROOT / "docker-compose.zookeeper.yml"
PIPELINE_SERVICES = ("init", "api", "worker", "dashboard")


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def target_of(volume: str) -> str:
    return volume.split(":")[1]


def merged() -> dict[str, Any]:
    """What `-f docker-compose.yml -f docker-compose.zookeeper.yml` make, by Compose's rules for the keys used here.

    Mappings merge key by key; a volume replaces the one with its target; other lists and scalars are replaced
    (Compose joins ports, which the override does not touch: asserted below).
    """

    def merge(base: Any, over: Any, key: str) -> Any:
        if isinstance(base, dict) and isinstance(over, dict):
            return {**base, **{each: merge(base.get(each), value, each) for each, value in over.items()}}
        if key == "volumes" and isinstance(base, list):
            targets = {target_of(each) for each in over}
            return [*(each for each in base if target_of(each) not in targets), *over]
        return over

    both = merge(read(KRAFT), read(ZOOKEEPER), "")
    assert "ports" not in read(ZOOKEEPER)["services"]["kafka"]
    environment = both["services"]["kafka"]["environment"]
    both["services"]["kafka"]["environment"] = {name: value for name, value in environment.items() if value is not None}
    return both


def schema_errors(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", [KRAFT, ZOOKEEPER], ids=lambda path: path.name)
def test_each_file_follows_the_compose_schema(path: Path) -> None:
    assert schema_errors(path) == ""


def test_the_merged_form_follows_the_compose_schema(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(merged()), encoding="utf-8")
    assert schema_errors(tmp_path / "docker-compose.yml") == ""


def test_the_schema_check_refuses_a_misspelt_key(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(
        KRAFT.read_text(encoding="utf-8").replace("    healthcheck:", "    heathcheck:", 1), encoding="utf-8"
    )
    assert "heathcheck" in schema_errors(tmp_path / "docker-compose.yml")


@pytest.mark.parametrize("files", [read(KRAFT), merged()], ids=["kraft", "zookeeper"])
class TestBothForms:
    def test_have_the_four_services(self, files: dict[str, Any]) -> None:
        assert {"kafka", "mongodb", "api", "worker"} <= set(files["services"])

    def test_pin_every_image_to_a_patch_version(self, files: dict[str, Any]) -> None:
        for service in files["services"].values():
            assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", service["image"]), service["image"]

    def test_name_no_container_so_that_services_scale(self, files: dict[str, Any]) -> None:
        assert [name for name, service in files["services"].items() if "container_name" in service] == []

    def test_give_the_api_a_range_of_ports_and_the_worker_none(self, files: dict[str, Any]) -> None:
        (port,) = files["services"]["api"]["ports"]
        first, last = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):8000", port).groups()
        assert int(first) == pipeline_settings.Api().port
        assert int(last) - int(first) >= 3
        assert "ports" not in files["services"]["worker"]

    def test_give_the_dashboard_a_port_that_no_api_takes(self, files: dict[str, Any]) -> None:
        port = pipeline_settings.Dashboard().port
        assert files["services"]["dashboard"]["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert port > 8_009

    def test_open_ports_on_the_loopback_address_alone(self, files: dict[str, Any]) -> None:
        ports = [port for service in files["services"].values() for port in service.get("ports", [])]
        assert len(ports) >= 3
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_check_the_health_of_every_service_that_stays(self, files: dict[str, Any]) -> None:
        for name, service in files["services"].items():
            check = service["healthcheck"]
            assert check == {"disable": True} if name == "init" else check["test"], name

    def test_keep_the_data_of_kafka_and_mongodb_in_declared_volumes(self, files: dict[str, Any]) -> None:
        kafka = files["services"]["kafka"]
        (data,) = kafka["volumes"]
        assert target_of(data) == kafka["environment"]["KAFKA_LOG_DIRS"]
        assert "/data/db" in [target_of(each) for each in files["services"]["mongodb"]["volumes"]]
        used = [each.split(":")[0] for service in files["services"].values() for each in service.get("volumes", [])]
        assert set(used) <= set(files["volumes"])

    def test_make_topics_and_indexes_before_anything_uses_them(self, files: dict[str, Any]) -> None:
        init = files["services"]["init"]
        assert init["command"] == ["init"]
        assert init["depends_on"] == {each: {"condition": "service_healthy"} for each in ("kafka", "mongodb")}
        for name in ("api", "worker", "dashboard"):
            assert files["services"][name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}

    def test_let_no_client_create_a_topic(self, files: dict[str, Any]) -> None:
        assert files["services"]["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"

    def test_give_kafka_a_listener_inside_and_one_for_the_host(self, files: dict[str, Any]) -> None:
        environment = files["services"]["kafka"]["environment"]
        advertised = dict(each.split("://") for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
        assert advertised == {"INSIDE": "kafka:19092", "HOST": pipeline_settings.Kafka().bootstrap_servers}
        listening = {each.split("://")[0] for each in environment["KAFKA_LISTENERS"].split(",")}
        protocols = {each.split(":")[0] for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
        assert set(advertised) <= listening == protocols

    def test_settings_of_the_pipeline_are_ones_it_knows(self, files: dict[str, Any]) -> None:
        for name in PIPELINE_SERVICES:
            # As Compose does where the variable is not set.
            environment = files["services"][name]["environment"]
            found = pipeline_settings.load(
                {each: text.removesuffix(f"${{{each}:-}}") for each, text in environment.items()}
            )
            assert found.kafka.bootstrap_servers == "kafka:19092"
            assert found.mongo.uri.startswith("mongodb://mongodb:27017/")

    def test_wait_longer_for_the_pipeline_to_stop_than_it_takes(self, files: dict[str, Any]) -> None:
        longest_s = max(pipeline_settings.Api().shutdown_timeout_s, pipeline_settings.Worker().shutdown_timeout_s)
        for name in PIPELINE_SERVICES:
            assert int(files["services"][name]["stop_grace_period"].removesuffix("s")) > longest_s

    def test_mongodb_is_a_replica_set_that_its_health_check_makes(self, files: dict[str, Any]) -> None:
        mongodb = files["services"]["mongodb"]
        assert "--replSet" in mongodb["command"]
        assert "rs.initiate" in mongodb["healthcheck"]["test"][-1]
        assert mongodb["image"].startswith("mongo:6.0.")


def test_kraft_needs_no_zookeeper() -> None:
    services = read(KRAFT)["services"]
    assert "zookeeper" not in services
    assert services["kafka"]["environment"]["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert not [name for name in services["kafka"]["environment"] if "ZOOKEEPER" in name]


def test_the_zookeeper_form_leaves_nothing_of_kraft_to_kafka() -> None:
    kafka = merged()["services"]["kafka"]
    assert kafka["environment"]["KAFKA_ZOOKEEPER_CONNECT"] == "zookeeper:2181"
    assert kafka["depends_on"] == {"zookeeper": {"condition": "service_healthy"}}
    kraft_only = ("CLUSTER_ID", "NODE_ID", "PROCESS_ROLES", "CONTROLLER")
    assert [name for name in kafka["environment"] if any(each in name for each in kraft_only)] == []
    assert "CONTROLLER" not in str(kafka["environment"])


def test_the_zookeeper_form_uses_images_that_still_have_it() -> None:
    services = merged()["services"]
    for name in ("kafka", "zookeeper"):
        assert re.fullmatch(r"confluentinc/cp-(kafka|zookeeper):7\.9\.\d+", services[name]["image"])
    assert services["zookeeper"]["ports"] == ["127.0.0.1:2181:2181"]


def test_the_two_forms_do_not_share_kafkas_data() -> None:
    assert read(KRAFT)["services"]["kafka"]["volumes"] != merged()["services"]["kafka"]["volumes"]


def test_the_image_holds_the_pipeline_alone_and_runs_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)
    copied = [line.split()[1:] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert copied == [["requirements/pipeline.txt", "./"], ["pipeline", "pipeline"]]
    assert any("--require-hashes" in line for line in lines)
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert int(user) > 0


def test_the_image_is_named_after_the_version_in_pyproject() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE).group(1)
    assert {read(KRAFT)["services"][name]["image"] for name in PIPELINE_SERVICES} == {f"tidemark-pipeline:{version}"}
