"""Kafka and MongoDB that the bench did not start: their processes, where they run on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator

import psutil
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from pipeline.settings import Settings

# What forwards a port, as Docker and ssh do, is not the server.
_PROGRAMS = {"kafka": ("java",), "mongodb": ("mongod", "mongos")}

_Address = tuple[str, int]


def server_pids(settings: Settings) -> dict[str, list[int]]:
    """Return the processes that listen on the addresses in ``settings``, by role: ``kafka``, ``mongodb``.

    A role is missing if none of its servers runs here, or if the kernel hides whose socket it is: it shows that only
    to the owner of the process and to root.
    """
    addresses = {
        "kafka": list(_of_bootstrap(settings.kafka.bootstrap_servers)),
        "mongodb": _of_uri(settings.mongo.uri),
    }
    found = {role: _listening(_here(of_role), _PROGRAMS[role]) for role, of_role in addresses.items()}
    return {role: pids for role, pids in found.items() if pids}


def _of_bootstrap(servers: str) -> Iterator[_Address]:
    for each in servers.split(","):
        host, _, port = each.strip().rpartition(":")
        if port.isdecimal():
            yield host.strip("[]"), int(port)


def _of_uri(uri: str) -> list[_Address]:
    try:
        return [(host, port) for host, port in parse_uri(uri, validate=False)["nodelist"] if port is not None]
    except (PyMongoError, ValueError, OSError):  # the run reports it
        return []


def _here(addresses: Iterable[_Address]) -> set[int]:
    """Return the ports of those ``addresses`` that are this machine's."""
    own = {each.address for interface in psutil.net_if_addrs().values() for each in interface}
    ports = set()
    for host, port in addresses:
        with contextlib.suppress(OSError):
            resolved = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
            if resolved & own or any(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in resolved):
                ports.add(port)
    return ports


def _listening(ports: set[int], programs: tuple[str, ...]) -> list[int]:
    pids = set()
    with contextlib.suppress(psutil.Error):  # a system that lets only root look
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port in ports and each.pid is not None:
                with contextlib.suppress(psutil.Error):
                    if psutil.Process(each.pid).name() in programs:
                        pids.add(each.pid)
    return sorted(pids)
