"""What a load test offers, as data: the traffic's nature, and the load's size and shape in time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from pipeline.errors import UsageError
from traffic.identity import MAX_RUN

Scenario = Literal["mixed", "visitors", "sdk", "replay", "hostile"]
Arrivals = Literal["poisson", "constant"]
Profile = Literal["constant", "ramp", "step", "spike", "diurnal"]

SCENARIOS: tuple[str, ...] = get_args(Scenario)
ARRIVALS: tuple[str, ...] = get_args(Arrivals)
PROFILES: tuple[str, ...] = get_args(Profile)

# What one request of the API may hold (pipeline.settings.Api.max_batch_events).
MAX_BATCH_EVENTS = 1_000

_Share = Annotated[float, Meta(ge=0, le=1)]
_Exponent = Annotated[float, Meta(ge=0, le=10)]
_EventType = Annotated[str, Meta(min_length=1, max_length=200)]
# The bound also excludes infinity.
_Weight = Annotated[float, Meta(ge=0, le=1_000_000_000)]


class Traffic(Struct, frozen=True, forbid_unknown_fields=True):
    """What the events are like. Every field has its documented default; ``--traffic FILE`` is this as JSON.

    ``event_mix``: types and their weights (any scale). ``users``, ``urls``: how many there are; each is picked
    by a Zipf law: the k-th most frequent with a weight of k to the power of minus the exponent (0: all alike).
    ``payload_bytes``: an event's JSON is filled up to about this size (it is about 230 bytes by itself).
    ``key_skew``: the share of all sessions that belong to one single hot user, over and above Zipf.
    ``batch_min_events``, ``batch_max_events``: events of one SDK request, log-uniform between the two.
    ``visitor_share``: the share of events that visitors send one by one when visitors and SDK run together.
    ``table_events``: how many different events are prepared; after them the first comes again. Of large ones there are
    fewer: at most 64 MiB of events are kept in memory.
    """

    event_mix: Annotated[tuple[tuple[_EventType, _Weight], ...], Meta(min_length=1, max_length=1_000)] = (
        ("page_view", 0.7),
        ("signup", 0.05),
        ("add_to_cart", 0.25),
    )
    users: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    user_zipf_exponent: _Exponent = 1.0
    urls: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    url_zipf_exponent: _Exponent = 1.0
    payload_bytes: Annotated[int, Meta(ge=0, le=60_000)] = 256
    key_skew: _Share = 0.0
    batch_min_events: Annotated[int, Meta(ge=1, le=MAX_BATCH_EVENTS)] = 10
    batch_max_events: Annotated[int, Meta(ge=1, le=MAX_BATCH_EVENTS)] = 500
    visitor_share: _Share = 0.01
    table_events: Annotated[int, Meta(ge=64, le=1_048_576)] = 32_768

    def __post_init__(self) -> None:
        """Refuse what no single field shows to be wrong."""
        if self.batch_min_events > self.batch_max_events:
            raise ValueError(
                f"batch_min_events={self.batch_min_events} is above batch_max_events={self.batch_max_events}"
            )
        types = [event_type for event_type, _ in self.event_mix]
        if len(set(types)) != len(types):
            raise ValueError(f"event_mix names a type twice: {', '.join(types)}")
        if not sum(weight for _, weight in self.event_mix) > 0:
            raise ValueError("event_mix needs at least one weight above 0")


class ProfileShape(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of the load profiles; each profile reads its own.

    ``period_s``: how long a ramp or a staircase takes to reach the offered load (it stays there), and after
    how long a spike or a day comes again; 0: the test's duration, or 300 s in a test without one.
    ``ramp_from``: where a ramp begins, as a share of the offered load. ``steps``: stairs of equal height
    and length, the last one at the offered load. ``spike_factor``: the offered load is multiplied by it from
    ``spike_start`` on for ``spike_length``, both shares of the period. ``diurnal_amplitude``: a day goes
    from 1 - amplitude (night, where it begins) to 1 + amplitude times the offered load, its mean.
    """

    period_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    ramp_from: _Share = 0.1
    steps: Annotated[int, Meta(ge=1, le=1_000)] = 5
    spike_factor: Annotated[float, Meta(gt=0, le=1_000)] = 4.0
    spike_start: _Share = 0.4
    spike_length: _Share = 0.2
    diurnal_amplitude: _Share = 0.8

    def __post_init__(self) -> None:
        """Refuse a spike that does not fit into its period."""
        if self.spike_start + self.spike_length > 1:
            raise ValueError(f"spike_start={self.spike_start} + spike_length={self.spike_length} is above 1")


class LoadSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a schedule and its events follow from: the same spec makes the same load, always.

    ``duration_s`` 0: until stopped (a replay: once through the file). ``seed`` fixes arrivals, sizes and
    contents; ``run`` is only the number that the events' identities carry. ``replay_events``: lines of the
    file at ``replay_path``, which :func:`traffic.replay.check` counts.
    """

    scenario: Scenario = "mixed"
    offered_load_events_per_s: Annotated[float, Meta(ge=0.1, le=10_000_000)] = 1_000.0
    arrivals: Arrivals = "poisson"
    profile: Profile = "constant"
    duration_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 1
    run: Annotated[int, Meta(ge=0, le=MAX_RUN)] = 0
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    replay_path: str = ""
    profile_shape: ProfileShape = msgspec.field(default_factory=ProfileShape)
    replay_events: Annotated[int, Meta(ge=0)] = 0


def load_traffic(path: Path) -> Traffic:
    """Read a :class:`Traffic` from the JSON file ``path``; fields that are not there keep their defaults.

    Raises:
        UsageError: the file cannot be read, is not JSON, or a field's value cannot be used.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"the traffic file {path} cannot be read ({error.strerror}): name a JSON file that is there"
        raise UsageError(message) from error
    try:
        return msgspec.json.decode(text, type=Traffic)
    except msgspec.DecodeError as error:
        known = ", ".join(Traffic.__struct_fields__)
        message = f"the traffic file {path} cannot be used: {error}; its fields may be {known}"
        raise UsageError(message) from error
