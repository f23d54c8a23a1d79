"""What the page is sent: one snapshot, made for all viewers at once. Times are Unix milliseconds."""

from __future__ import annotations

from msgspec import Struct, field

from pipeline.dashboard.latencies import SampledPercentiles


class RankedName(Struct, frozen=True):
    """A page or a referrer: it came at least ``count`` times."""

    name: str
    count: int


class Top(Struct, frozen=True):
    """The most frequent names; each count is too low by at most ``missed``. ``total``: of all names."""

    names: list[RankedName] = field(default_factory=list)
    missed: int = 0
    total: int = 0


class TypeRates(Struct, frozen=True):
    """Events a second of one type, one value for each step of the time axis."""

    name: str
    per_s: list[float]


class RateChart(Struct, frozen=True):
    """A time axis and what belongs to it; ``start_ms`` is where the first step begins."""

    start_ms: int
    step_ms: int
    series: list[TypeRates] = field(default_factory=list)


class WindowFigures(Struct, frozen=True):
    """What the top lists show of a window of time."""

    events: int = 0
    pages: Top = field(default_factory=Top)
    referrers: Top = field(default_factory=Top)


class FunnelStep(Struct, frozen=True):
    """A step and about how many users did it today."""

    step: str
    users: int


class LatencyMinute(Struct, frozen=True):
    """The sampled latencies of one minute."""

    at_ms: int
    percentiles: SampledPercentiles


class Latency(Struct, frozen=True):
    """Delivery latency, sampled: of the last five minutes together, and minute by minute."""

    recent: SampledPercentiles
    minutes: list[LatencyMinute]
    waiting: int
    oldest_waiting_s: float
    given_up: int


class Activity(Struct, frozen=True):
    """What MongoDB's aggregates say. ``counted_until_ms``: the newest minute that has a document; 0 for none."""

    recent: RateChart
    hour: RateChart
    users_now: int
    users_today: int
    events_last_minute: int
    refused_today: int
    last_hour: WindowFigures
    today: WindowFigures
    funnel: list[FunnelStep]
    latency: Latency
    counted_until_ms: int


class Partition(Struct, frozen=True):
    """A partition as one group sees it: ``written`` and ``done`` are offsets, ``member`` who reads it."""

    group: str
    topic: str
    partition: int
    written: int
    done: int
    backlog: int
    member: str


class GroupMember(Struct, frozen=True):
    """A member of a group; ``id`` begins with the client's name."""

    id: str
    host: str
    partitions: int


class Group(Struct, frozen=True):
    """A consumer group; ``state`` in Kafka's words, ``hidden_members``: how many more there are."""

    name: str
    role: str
    state: str
    members: list[GroupMember]
    backlog: int
    hidden_members: int = 0


class Health(Struct, frozen=True):
    """What Kafka says. ``accepted``: records in the event topics; ``dead_letters``: in theirs.

    ``hidden_partitions``: how many more rows there are, with smaller backlogs than those in ``partitions``.
    """

    accepted: int
    dead_letters: int
    groups: list[Group]
    partitions: list[Partition]
    hidden_partitions: int = 0


class StoredTotal(Struct, frozen=True):
    """Documents in the collection of events; None while they are counted after a start of MongoDB."""

    events: int | None


class SourceState(Struct, frozen=True):
    """How old the figures of one part are. ``error``: in words, empty while all is well; ``since_ms``: since when."""

    at_ms: int
    error: str = ""
    since_ms: int = 0


class Snapshot(Struct, frozen=True):
    """All that the page shows but the newest events. A part that never answered is None."""

    at_ms: int
    refresh_s: float
    counts: bool
    mongo: SourceState
    kafka: SourceState
    activity: Activity | None
    stored: StoredTotal | None
    health: Health | None


class ShownEvent(Struct, frozen=True):
    """A stored event in the form in which it is shown; ``props`` is JSON."""

    id: str
    event_type: str
    user_id: str
    at: str
    props: str


class Newest(Struct, frozen=True):
    """The newest events that fit. ``searched``: of so many of the newest; ``at_ms``: when MongoDB was asked."""

    at_ms: int
    searched: int
    events: list[ShownEvent]
