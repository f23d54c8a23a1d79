"""What has to be reached, as a person writes it: ``p99 delivery latency <= 1 s``."""

from __future__ import annotations

import math
import re

from msgspec import Struct

from bundle.result import Result
from reports import formats
from reports.errors import ObjectiveError
from stats.intervals import CONFIDENCE
from stats.percentiles import PERCENTILES

_MEASURES = {"delivery latency": "delivery_latency", "response time": "response_time"}
_PERCENTILE_WORDS = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}
_ONE = re.compile(
    r"(?P<percentile>p50|p90|p95|p99\.9|p999|p99)\s+(?P<measure>delivery\s+latency|response\s+time)"
    r"\s*(?:<=|≤)\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>ms|s)\b",
    re.IGNORECASE,
)
_MS_PER_S = 1000
_FORM = (
    "write it as 'p99 delivery latency <= 1 s': a percentile (p50, p90, p95, p99, p999), delivery latency or response "
    "time, <=, and a time in ms or s"
)


class LatencyObjective(Struct, frozen=True):
    """A percentile of ``delivery_latency`` or ``response_time`` that must not be above ``limit_ms``."""

    measure: str
    percentile: str
    limit_ms: float

    @property
    def words(self) -> str:
        """The objective as it is written: ``p99 delivery latency <= 1 s``."""
        measure = next(words for words, key in _MEASURES.items() if key == self.measure)
        whole_s = self.limit_ms >= _MS_PER_S and self.limit_ms % _MS_PER_S == 0
        limit = f"{self.limit_ms / _MS_PER_S:g} s" if whole_s else f"{self.limit_ms:g} ms"
        return f"{_PERCENTILE_WORDS[self.percentile]} {measure} <= {limit}"

    @property
    def share(self) -> float:
        """Of the events or requests that have to keep to the limit."""
        return PERCENTILES[self.percentile]

    def value_ms(self, result: Result) -> float | None:
        """Return what a repeat had at most; None where it has too few requests to know.

        Where too few lie beyond the percentile, the largest value is a bound of it that will do if it is within the
        limit, and if of so many requests one would have been later, with 95% confidence, had more been than may be.
        """
        percentiles = getattr(result, f"{self.measure}_ms")
        value: float | None = getattr(percentiles, self.percentile, None)
        largest: float | None = getattr(percentiles, "max", None)
        if value is not None or largest is None or largest > self.limit_ms:
            return value
        return largest if (result.requests or 0) * math.log(self.share) <= math.log(1 - CONFIDENCE) else None

    @property
    def name(self) -> str:
        """What is limited: ``p99 delivery latency``."""
        return self.words.partition(" <=")[0]

    def missed(self, value_ms: float) -> str:
        """Say by how much a value is above the limit, in words; empty where it is not."""
        if value_ms <= self.limit_ms:
            return ""
        return f"{self.name} up to {formats.milliseconds(value_ms)} ms"

    def follows_from(self, others: tuple[LatencyObjective, ...]) -> bool:
        """Say whether whoever meets ``others`` meets this: one is of the same measure and at least as strict."""
        return any(
            other.measure == self.measure and other.share >= self.share and other.limit_ms <= self.limit_ms
            for other in others
        )


def parse(text: str) -> LatencyObjective:
    """Read one objective; ObjectiveError says what is wrong with another text."""
    found = _ONE.fullmatch(text.strip())
    if found is None:
        raise ObjectiveError(f"the objective {text!r} is not understood{_hint(text)}: {_FORM}")
    objective = _objective(found)
    if objective.limit_ms <= 0:
        raise ObjectiveError(f"the objective {text!r} allows no time at all: {_FORM}")
    return objective


def find(text: str) -> tuple[LatencyObjective, ...]:
    """Return every objective in a text, such as that of a capacity cell's search; what else it says is passed over."""
    return tuple(_objective(found) for found in _ONE.finditer(text))


def _objective(found: re.Match[str]) -> LatencyObjective:
    measure = _MEASURES[" ".join(found["measure"].lower().split())]
    factor = 1.0 if found["unit"].lower() == "ms" else float(_MS_PER_S)
    return LatencyObjective(measure, found["percentile"].lower().replace(".", ""), float(found["limit"]) * factor)


def _hint(text: str) -> str:
    lower = " ".join(text.lower().split())
    if not any(measure in lower for measure in _MEASURES):
        return " (delivery latency counts until the write was acknowledged, response time until the answer came)"
    if re.search(r"p\d", lower) and not re.search(r"\bp(50|90|95|99|999|99\.9)\b", lower):
        return " (that percentile is not measured)"
    if "<=" not in lower and "≤" not in lower:
        return " (there is no <=)"
    return ""
