"""Visitors' sessions: who comes, from where, what they look at and do, in a seeded table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traffic.spec import Traffic

PAGE_VIEW = "page_view"
# A session's mean number of events, and how many it may have at most.
_MEAN_EVENTS = 6
_MAX_EVENTS = 50
# Where visitors come from, and how often. Within a session the referrer is the page before.
_REFERRERS = ("google", "direct", "newsletter", "bing", "twitter", "partner")
_REFERRER_WEIGHTS = (0.45, 0.25, 0.12, 0.08, 0.06, 0.04)
_SECTIONS = ("products", "articles", "help", "search", "account")


class SessionStep(NamedTuple):
    """One event of a session, without who and when exactly: the generator fills that in."""

    event_type: str
    user_id: str
    url: str
    ref: str


def steps(traffic: Traffic, seed: int) -> Iterator[SessionStep]:
    """Return ``traffic.table_events`` events, session after session, each session in order.

    The types' shares are exactly those of the event mix, as far as whole numbers allow. A session views a
    page first where the mix has page views for it.
    """
    random = np.random.default_rng([seed, 3])
    size = traffic.table_events
    types = _types(traffic, random)
    lengths = np.clip(random.geometric(1 / _MEAN_EVENTS, size), 1, _MAX_EVENTS)
    users = _ranks(random, traffic.users, traffic.user_zipf_exponent, size)
    users[random.random(size) < traffic.key_skew] = 0
    urls = _ranks(random, traffic.urls, traffic.url_zipf_exponent, size)
    landings = random.choice(len(_REFERRERS), size, p=_REFERRER_WEIGHTS)
    at = 0
    for session in range(size):
        if at >= size:
            return
        end = min(at + int(lengths[session]), size)
        ref = _REFERRERS[landings[session]]
        for event_type, url_rank in zip(_in_order(types[at:end]), urls[at:end], strict=True):
            url = _url(int(url_rank))
            yield SessionStep(event_type, f"user-{users[session] + 1}", url, ref)
            ref = url
        at = end


def _types(traffic: Traffic, random: np.random.Generator) -> list[str]:
    """One type for each event of the table, in random order, their numbers by largest remainder."""
    weights = np.array([weight for _, weight in traffic.event_mix], dtype=np.float64)
    exact = weights / weights.sum() * traffic.table_events
    numbers = np.floor(exact).astype(np.int64)
    missing = traffic.table_events - int(numbers.sum())
    numbers[np.argsort(numbers - exact, kind="stable")[:missing]] += 1
    indexes = random.permutation(np.repeat(np.arange(len(weights)), numbers))
    return [traffic.event_mix[index][0] for index in indexes]


def _in_order(types: list[str]) -> list[str]:
    """A session's types with a page view in front, if it has one."""
    if PAGE_VIEW in types:
        first = types.index(PAGE_VIEW)
        return [PAGE_VIEW, *types[:first], *types[first + 1 :]]
    return types


def _ranks(random: np.random.Generator, number: int, exponent: float, size: int) -> NDArray[np.int64]:
    """``size`` draws from a Zipf law over ``number`` ranks, the most frequent 0."""
    weights = np.arange(1, number + 1, dtype=np.float64) ** -exponent
    bounds = np.cumsum(weights)
    ranks: NDArray[np.int64] = np.minimum(
        np.searchsorted(bounds, random.random(size) * bounds[-1], side="right"), number - 1
    )
    return ranks


def _url(rank: int) -> str:
    return "/" if rank == 0 else f"/{_SECTIONS[rank % len(_SECTIONS)]}/{rank}"
