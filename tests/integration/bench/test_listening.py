"""Servers that the bench did not start, found by the addresses that the settings name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec import structs

from bench.targets import listening
from pipeline.settings import Settings

FORWARD = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); s.accept()"


def test_servers_on_this_machine_are_found_by_role(settings: Settings, servers) -> None:
    if not servers.pids:
        pytest.skip("the tests run on servers that somebody else started")
    found = listening.server_pids(settings)
    assert found["mongodb"] == sorted(servers.pids["mongodb"])
    assert set(found["kafka"]) <= set(servers.pids["kafka"])  # the others coordinate, and no client talks to them


def test_they_are_found_under_the_name_of_this_machine_too(settings: Settings, servers) -> None:
    if not servers.pids:
        pytest.skip("the tests run on servers that somebody else started")
    by_name = structs.replace(
        settings,
        kafka=structs.replace(
            settings.kafka, bootstrap_servers=settings.kafka.bootstrap_servers.replace("127.0.0.1", "localhost")
        ),
    )
    assert listening.server_pids(by_name) == listening.server_pids(settings)


def test_what_forwards_a_port_is_not_taken_for_the_server() -> None:
    with subprocess.Popen([sys.executable, "-c", FORWARD], stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        port = int(forwarding.stdout.readline())
        own = Settings()
        given = structs.replace(
            own,
            kafka=structs.replace(own.kafka, bootstrap_servers=f"127.0.0.1:{port}"),
            mongo=structs.replace(own.mongo, uri=f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"),
        )
        assert listening.server_pids(given) == {}
        forwarding.kill()


@pytest.mark.parametrize("uri", ["mongodb://", "nonsense", "mongodb://192.0.2.1:27017", "mongodb://no.such.invalid:1"])
def test_servers_elsewhere_and_addresses_that_cannot_be_read_have_no_processes(uri: str) -> None:
    own = Settings()
    given = structs.replace(
        own,
        kafka=structs.replace(own.kafka, bootstrap_servers="192.0.2.1:9092,no-port,[::1"),
        mongo=structs.replace(own.mongo, uri=uri),
    )
    assert listening.server_pids(given) == {}
