"""Registers, explains and checks the options on Locust's command line and in its UI."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from loadtest._transport import MAX_CONNECTIONS
from loadtest._transport import check as check_target
from pipeline.errors import SettingError, UsageError
from traffic import replay
from traffic.identity import MAX_RUN
from traffic.ledger import path_of
from traffic.spec import ARRIVALS, PROFILES, SCENARIOS, LoadSpec, ProfileShape, Traffic, load_traffic

DEFAULT_HOST = "http://localhost:8000"

_Fields = TypeVar("_Fields", Traffic, ProfileShape)

_MIX_REMEDY = (
    "write TYPE=WEIGHT,TYPE=WEIGHT; a type has from 1 to 200 characters, a weight is a number from 0 to 1,000,000,000"
)
_HELP = "./tidemark load --help explains every option"

_SCENARIO_HELP = (
    "What to send. mixed: visitors and sdk together (default). visitors: sessions of page views with referrers and "
    "some sign-ups, one event per request. sdk: batches. replay: the events of --replay-file, in batches. "
    "hostile: malformed, oversized and wrong requests; a 4xx counts as a success, a 2xx as a failure."
)
_PROFILE_HELP = (
    "How the offered load changes: constant, ramp (rises to it), step (rises in stairs), spike (a multiple of it for "
    "a while) or diurnal (rises and falls like a day). Parameters: --profile-period and the options after it."
)
_ARRIVALS_HELP = (
    "Requests come at random (poisson, default) or evenly (constant). In both cases they do not wait for answers."
)
_DURATION_HELP = (
    "Seconds to offer load; then the test waits for the answers and ends. 0: until you stop it, or in replay once "
    "through the file (default 0)."
)
_RUN_NUMBER_HELP = (
    f"A number in the id of every event, 0 to {MAX_RUN}; each further start in the UI uses the next one (default 0)."
)
_SENDERS_HELP = "Requests that each process can have in flight; also the number of Locust's users (default 512)."
_UNSENT_HELP = "Seconds that a request may be late before it counts as unsent (default 10)."
_BEGIN_HELP = "Wait for this file before the load begins, with everything started; empty: do not wait (default)."
EXAMPLES = """\
examples
  ./tidemark load                                      the page at http://localhost:8089, with 1,000 events/s
  ./tidemark load --headless --offered-load 5000 --duration 60 --processes 2
  ./tidemark load --headless --profile spike --spike-factor 10 --duration 60
  ./tidemark load --headless --scenario replay --replay-file loadtest/example.ndjson
  ./tidemark load --headless --scenario hostile --offered-load 50 --duration 30
Each needs an API: `./tidemark up` starts one at http://localhost:8000; --host URL names another.

exit codes
  0 passed   1 requests failed (never with --ledger: then the ledger has the failures)
  2 bad usage or a missing part
  3 the test is not complete: a process was lost or did not connect, the ledger could not be written, or a crash
"""


class Options(Struct, frozen=True):
    """Everything that the command line says about a test.

    ``senders``: how many requests a process can have in flight. ``unsent_after_s``: how late a request may
    go out. ``request_timeout_s``: how long one may take. ``ledger_dir``: empty: no ledger. ``begin_when_path``: the
    load waits for this file; empty: it does not wait.
    """

    spec: LoadSpec
    senders: int
    unsent_after_s: float
    request_timeout_s: float
    ledger_dir: str
    write_key: str
    begin_when_path: str = ""


class _Limits(Struct):
    """The types of the options that are not part of a load specification."""

    senders: Annotated[int, Meta(ge=1, le=MAX_CONNECTIONS)]
    unsent_after: Annotated[float, Meta(ge=0, le=3600)]
    request_timeout: Annotated[float, Meta(gt=0, le=3600)]


# Option, the field that it sets, and its help; an empty value leaves the default, or what --traffic says.
_TRAFFIC_OPTIONS = (
    ("--event-mix", "event_mix", "Types and weights, such as page_view=0.7,signup=0.05,add_to_cart=0.25 (default)."),
    ("--distinct-users", "users", "Number of different users."),
    ("--user-zipf", "user_zipf_exponent", "Exponent of the users' Zipf law; 0: all are equally frequent."),
    ("--distinct-urls", "urls", "Number of different URLs."),
    ("--url-zipf", "url_zipf_exponent", "Exponent of the URLs' Zipf law; 0: all are equally frequent."),
    ("--payload-bytes", "payload_bytes", "Approximate size of an event's JSON."),
    ("--key-skew", "key_skew", "Share of all sessions that belong to one hot user, from 0 to 1."),
    ("--batch-min", "batch_min_events", "Fewest events in one sdk request."),
    ("--batch-max", "batch_max_events", "Most events in one sdk request; sizes are log-uniform between the two."),
    ("--visitor-share", "visitor_share", "In mixed, the share of events that visitors send."),
)
_SHAPE_OPTIONS = (
    (
        "--profile-period",
        "period_s",
        "Seconds that a ramp or the stairs take, or between spikes or days; 0: the duration, or 300 without one.",
    ),
    ("--ramp-from", "ramp_from", "Start of a ramp, as a share of the offered load."),
    ("--profile-steps", "steps", "Number of stairs up to the offered load."),
    ("--spike-factor", "spike_factor", "A spike is this many times the offered load."),
    ("--spike-start", "spike_start", "Start of a spike, as a share of the period."),
    ("--spike-length", "spike_length", "Length of a spike, as a share of the period."),
    ("--diurnal-amplitude", "diurnal_amplitude", "A day goes from (1 - this) to (1 + this) times the offered load."),
)


def register(parser: argparse.ArgumentParser) -> None:
    """Add the options to Locust's own."""
    # Locust has a --profile too, a label for test runs; it gives way on the command line, its value stays known.
    parser.set_defaults(profile=None)
    load = parser.add_argument_group("Tidemark: the load", conflict_handler="resolve")
    _add(load, "--scenario", choices=SCENARIOS, default="mixed", help=_SCENARIO_HELP)
    _add(
        load,
        "--offered-load",
        type=float,
        default=1000.0,
        help="Events per second, all processes together (default 1000).",
    )
    _add(load, "--arrivals", choices=ARRIVALS, default="poisson", help=_ARRIVALS_HELP)
    _add(load, "--profile", dest="load_profile", choices=PROFILES, default="constant", help=_PROFILE_HELP)
    _add(load, "--duration", type=float, default=0.0, help=_DURATION_HELP)
    _add(load, "--seed", type=int, default=1, help="The same seed makes the same load (default 1).")
    _add(load, "--run-number", type=int, default=0, help=_RUN_NUMBER_HELP)
    _add(load, "--replay-file", default="", help="Events to replay: one JSON object per line (NDJSON).")
    _add_fields(load, _SHAPE_OPTIONS, ProfileShape())
    traffic = parser.add_argument_group("Tidemark: what the events are like")
    _add(traffic, "--traffic", default="", help="JSON file with the settings below; an option wins over the file.")
    _add_fields(traffic, _TRAFFIC_OPTIONS, Traffic())
    generator = parser.add_argument_group("Tidemark: the generator")
    _add(generator, "--ledger", default="", help="Folder for the ledger: outcome and times of every request.")
    _add(generator, "--senders", type=int, default=512, help=_SENDERS_HELP)
    _add(generator, "--begin-when", default="", help=_BEGIN_HELP)
    _add(generator, "--unsent-after", type=float, default=10.0, help=_UNSENT_HELP)
    _add(generator, "--request-timeout", type=float, default=15.0, help="Seconds to wait for one answer (default 15).")
    key = _add(generator, "--write-key", default="", help="Write key, if the API needs one.")
    vars(key).update(is_secret=True)


def read(options: argparse.Namespace, *, new_ledger: bool = True) -> Options:
    """Return what the command line, or the UI's form, says; ``new_ledger``: there must be none yet.

    Raises:
        UsageError: a value cannot be used, or two do not fit together; or a file that is named is not usable.
    """
    host = getattr(options, "host", None)
    check_target(DEFAULT_HOST if host is None else host, options.write_key)
    limits = {
        field: _converted(f"--{field.replace('_', '-')}", getattr(options, field), kind)
        for field, kind in get_type_hints(_Limits, include_extras=True).items()
    }
    return Options(
        spec=_spec(options),
        senders=limits["senders"],
        unsent_after_s=limits["unsent_after"],
        request_timeout_s=limits["request_timeout"],
        ledger_dir=_ledger_dir(options.ledger) if new_ledger else options.ledger,
        write_key=options.write_key,
        begin_when_path=options.begin_when,
    )


def _spec(options: argparse.Namespace) -> LoadSpec:
    base = load_traffic(Path(options.traffic)) if options.traffic else Traffic()
    kinds = get_type_hints(LoadSpec, include_extras=True)
    fields = {
        "scenario": ("--scenario", options.scenario),
        "offered_load_events_per_s": ("--offered-load", options.offered_load),
        "arrivals": ("--arrivals", options.arrivals),
        "profile": ("--profile", options.load_profile),
        "duration_s": ("--duration", options.duration),
        "seed": ("--seed", options.seed),
        "run": ("--run-number", options.run_number),
    }
    values = {field: _converted(name, value, kinds[field]) for field, (name, value) in fields.items()}
    replay_events = 0
    if options.scenario == "replay":
        if not options.replay_file:
            raise UsageError("--scenario replay needs --replay-file FILE: the events to send, one JSON object per line")
        replay_events = replay.check(Path(options.replay_file)).events
    elif options.replay_file:
        raise UsageError(f"--replay-file goes with --scenario replay, and not with {options.scenario}: add or drop one")
    return LoadSpec(
        **values,
        traffic=_with_fields(base, _TRAFFIC_OPTIONS, options),
        profile_shape=_with_fields(ProfileShape(), _SHAPE_OPTIONS, options),
        replay_path=options.replay_file,
        replay_events=replay_events,
    )


def _ledger_dir(folder: str) -> str:
    if folder:
        check_writable("--ledger", folder, Path(folder) / "ledger")
    if folder and path_of(Path(folder), 0).exists():
        raise UsageError(f"--ledger {folder} holds a ledger already: name another folder, or remove it")
    return folder


def check_writable(option: str, value: str, path: Path) -> None:
    """Refuse ``value`` of ``option`` if no file can be written at ``path``.

    Raises:
        SettingError: a part of it is no folder, or one that this user may not write to.
    """
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        place = path if path.is_dir() else folder
        raise SettingError(option, value, f"no file can be written at {place}; choose a folder that you may write to")


def _add(group: argparse._ArgumentGroup, *names: str, **settings: Any) -> argparse.Action:
    """Add an option that Locust's UI shows. Locust's parser marks options for that, but a group of options does not."""
    action = group.add_argument(*names, **settings)
    vars(action).update(include_in_web_ui=True, is_secret=False, is_required=False, is_multiple=False)
    return action


def _add_fields(group: argparse._ArgumentGroup, options: tuple[tuple[str, str, str], ...], defaults: Struct) -> None:
    for option, field, text in options:
        default = getattr(defaults, field)
        shown = text if isinstance(default, tuple) else f"{text[:-1]} (default {default})."
        _add(group, option, default="", help=shown)


def _with_fields(base: _Fields, options: tuple[tuple[str, str, str], ...], given: argparse.Namespace) -> _Fields:
    """Return ``base`` with the fields of the options that were used."""
    kinds = get_type_hints(type(base), include_extras=True)
    values: dict[str, Any] = {}
    for option, field, _ in options:
        text = str(getattr(given, option.removeprefix("--").replace("-", "_")))
        if text:
            is_mix = isinstance(getattr(base, field), tuple)
            values[field] = _mix(option, text, kinds[field]) if is_mix else _converted(option, text, kinds[field])
    try:
        return msgspec.structs.replace(base, **values)
    except ValueError as error:
        raise UsageError(f"the options do not fit together: {error}") from error


def _mix(option: str, text: str, kind: Any) -> Any:
    pairs = []
    for part in text.split(","):
        name, separator, weight = part.partition("=")
        if not separator:
            raise SettingError(option, text, f"{part!r} is no pair; write TYPE=WEIGHT,TYPE=WEIGHT")
        pairs.append((name.strip(), weight.strip()))
    try:
        return msgspec.convert(tuple(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        remedy = f"{_MIX_REMEDY} ({error})"
        raise SettingError(option, text, remedy) from error


def _converted(option: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingError(option, value, _remedy(kind) or f"{error}; {_HELP}") from error


def _remedy(kind: Any) -> str:
    """What to write instead, if ``kind`` is a number with bounds; else nothing."""
    base, *extra = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    word = {int: "a whole number", float: "a number"}.get(base)
    if word is None or not extra:
        return ""
    meta = extra[0]
    low = f"from {meta.ge:,}" if meta.ge is not None else f"above {meta.gt:,}"
    return f"write {word} {low} to {meta.le:,}"
