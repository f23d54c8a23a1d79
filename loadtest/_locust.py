"""Locust's own options: safer defaults, and a check of all values before anything starts."""

from __future__ import annotations

import argparse
import os
import socket
from contextlib import closing
from pathlib import Path

from loadtest import _options
from loadtest._transport import MAX_CONNECTIONS
from pipeline.errors import SettingError, UsageError

LOOPBACK = "127.0.0.1"
# How long the master waits for its workers by default; Locust would wait for ever.
EXPECT_WORKERS_S = 60
MAX_PROCESSES = 256
USER_CLASS = "Sender"
# Locust warns where more users a second than this are started.
_SPAWN_RATE = 100

_HELP = {
    "num_users": "Senders in all processes together: how many requests can be in flight. The default is --senders for "
    "each process. It does not set the load: --offered-load does.",
    "spawn_rate": f"Senders started a second, before the load begins (default {_SPAWN_RATE}).",
    "host": "The API to send to, as a URL (default http://localhost:8000).",
    "run_time": "Stop after this time, such as 300s, 20m or 1h30m. --duration is the same in seconds, without the "
    "time for starting.",
    "web_host": f"Address that the page listens on (default {LOOPBACK}: this machine alone); '*' is every address.",
    "master_bind_host": "Address that the master listens on for workers. The default is every address, and "
    f"{LOOPBACK} with --processes.",
    "expect_workers_max_wait": f"Seconds to wait for the expected workers (default {EXPECT_WORKERS_S}); without "
    "them the command ends with exit code 3.",
    "json": "Print Locust's statistics as JSON on stdout, and everything else on stderr.",
}
# The range of each option that is a number.
_RANGES = {
    "num_users": ("--users", 1, MAX_CONNECTIONS * MAX_PROCESSES),
    "web_port": ("--web-port", 1, 65_535),
    "master_bind_port": ("--master-bind-port", 1, 65_535),
    "master_port": ("--master-port", 1, 65_535),
    "expect_workers": ("--expect-workers", 1, MAX_PROCESSES),
    "expect_workers_max_wait": ("--expect-workers-max-wait", 1, 86_400),
    "exit_code_on_error": ("--exit-code-on-error", 0, 255),
    "spawn_rate": ("--spawn-rate", 0.1, 1_000_000),
    "run_time": ("--run-time", 1, 31_536_000),
    "autoquit": ("--autoquit", -1, 86_400),
    "processes": ("--processes", 1, MAX_PROCESSES),
}
_FILES = {"csv_prefix": "--csv", "html_file": "--html", "json_file": "--json-file", "logfile": "--logfile"}


def adapt(parser: argparse.ArgumentParser) -> None:
    """Set the defaults that are ours, and explain them."""
    parser.set_defaults(web_host=LOOPBACK, master_bind_host="", expect_workers_max_wait=EXPECT_WORKERS_S)
    for action in parser._actions:  # noqa: SLF001 - argparse lists its options nowhere else
        action.help = _HELP.get(action.dest, action.help)


def check(options: argparse.Namespace) -> None:
    """Refuse values that cannot be used, before anything starts, and fill in the values that follow from others.

    Raises:
        UsageError: an option's value cannot be used, or two do not fit together.
    """
    _check_numbers(options)
    _check_combinations(options)
    for field, option in _FILES.items():
        if path := getattr(options, field):
            _options.check_writable(option, path, Path(path))
    if options.worker:
        return  # the rest comes from the master
    senders = _options.read(options).senders
    _check_addresses(options)
    if options.num_users is None:
        processes = os.cpu_count() if options.processes == -1 else options.processes
        options.num_users = senders * (processes or (options.expect_workers if options.master else 1))
    if options.spawn_rate is None:
        options.spawn_rate = _SPAWN_RATE


def _check_numbers(options: argparse.Namespace) -> None:
    for field, (option, low, high) in _RANGES.items():
        value = getattr(options, field)
        if (field, value) == ("processes", -1):
            continue  # one for each core
        if value is not None and not low <= value <= high:
            raise SettingError(option, value, f"write a number from {low:,} to {high:,}")


def _check_combinations(options: argparse.Namespace) -> None:
    if unknown := set(options.user_classes) - {USER_CLASS}:
        name = min(unknown)
        raise UsageError(
            f"{name!r} cannot be used: {USER_CLASS} is the only user class. Choose what is sent with an option, such "
            "as --scenario visitors"
        )
    if options.tags or options.exclude_tags:
        raise UsageError("--tags and --exclude-tags cannot be used: the sender has no tags; leave them out")
    if options.autoquit != -1 and not options.autostart:
        raise UsageError(f"--autoquit {options.autoquit} does nothing without --autostart: add it, or leave both out")
    if options.master and (options.worker or options.processes):
        raise UsageError("--master does not go with --worker or --processes: leave --master out")


def _check_addresses(options: argparse.Namespace) -> None:
    """Refuse a port that another program uses; between --processes, use any free port."""
    if not options.master_bind_host:
        options.master_bind_host = LOOPBACK if options.processes else "*"
    if options.processes and not _is_free(options.master_bind_host, options.master_bind_port):
        options.master_bind_port = options.master_port = _free_port(options.master_bind_host)
    if options.master:
        _check_free("--master-bind-port", options.master_bind_host, options.master_bind_port)
    if not options.headless:
        _check_free("--web-port", options.web_host, options.web_port)


def _check_free(option: str, host: str, port: int) -> None:
    if not _is_free(host, port):
        raise SettingError(option, port, f"another program listens on it; name a free one, such as {_free_port(host)}")


def _is_free(host: str, port: int) -> bool:
    try:
        with closing(_listening(host, port)):
            return True
    except socket.gaierror as error:
        raise UsageError(f"{host!r} is no address of this machine: name one, such as {LOOPBACK}") from error
    except OSError:
        return False


def _free_port(host: str) -> int:
    with closing(_listening(host, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        "0.0.0.0" if host in ("", "*") else host,  # noqa: S104 - only to see whether the port is free
        port,
        type=socket.SOCK_STREAM,
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening
