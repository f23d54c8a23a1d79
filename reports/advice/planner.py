"""``./tidemark bench advise``: the answer for one load, as lines for a person and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bundle import reading
from pipeline.errors import UsageError
from reports import formats
from reports.advice import advice
from reports.advice.advice import Advice
from reports.advice.configurations import Configuration
from reports.advice.proof import Shown
from reports.answer import objective
from reports.cells import cells

EXIT_HOLDS, EXIT_NOT_SHOWN, EXIT_INCONCLUSIVE = 0, 1, 4
NO_PROOF_BY_DRAINS = (
    "A drain shows what consumers and MongoDB do while the API is idle: no proof for the whole path, only a bound."
)
_STATUS = {"holds": "holds it", "misses": "misses it", "unclear": "not shown", "excluded": "cannot hold it"}


def advise(run: str, runs: Path, target: float, asked: str, json: Path | None) -> int:
    """Answer for a run, named by its folder or by its name under ``runs``; print it, and return the exit code.

    Raises:
        UsageError: there is no such run, the objective or the target is not understood, no cell could answer, or the
            file for the JSON cannot be written.
        BundleError: the run cannot be read.
    """
    wanted = objective.parse(asked)
    read = reading.load(reading.find(run, runs))
    given = advice.advise(read, cells.summarise(read), target, wanted)
    sys.stdout.writelines(f"{line}\n" for line in lines(given))
    if json is not None:
        try:
            json.write_text(to_json(given), encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{json} cannot be written ({error.strerror}): choose another place with --json"
            ) from error
        sys.stdout.write(f"written: {json}\n")
    return exit_code(given)


def exit_code(given: Advice) -> int:
    """0 if a measured configuration holds the load, 1 if none was shown to, 4 if there is no valid repeat."""
    if given.best:
        return EXIT_HOLDS
    return EXIT_NOT_SHOWN if given.nearest else EXIT_INCONCLUSIVE


def to_json(given: Advice) -> str:
    """Return the whole answer."""
    return msgspec.json.format(msgspec.json.encode(given), indent=1).decode() + "\n"


def lines(given: Advice) -> Iterator[str]:
    """Return the answer for a person, line by line."""
    yield f"{formats.count(given.target_events_per_s)} events/s with {given.objective}"
    yield ""
    yield from _held(given) if given.best is not None else _not_held(given)
    yield ""
    yield f"smallest means: {given.smallest}"
    conditions = [f"{name} {formats.value(value)}" for name, value in given.conditions.items()]
    yield f"measured with: {', '.join(conditions)}"
    if given.left_out:
        yield f"left out, as measured otherwise: {', '.join(given.left_out)}"
    yield from _others(given)
    if given.measure_next:
        yield ""
        yield "next"
        for line in given.measure_next:
            yield from (f"  {part}" for part in line.splitlines())


def _held(given: Advice) -> Iterator[str]:
    """Name the smallest configuration that holds the load, how sure that is, and what breaks first above it."""
    best = given.best
    if best is None or best.shown is None:
        return
    yield f"  {best.words}"
    yield f"  shown at {_by(best.shown)}"
    if best.shown.sure is not None:
        yield f"  how sure: {formats.share(best.shown.sure)}, by one search of {best.shown.cell}"
    if given.breaks_first:
        yield f"  what breaks first above it: {given.breaks_first}"
    smaller = given.configurations[: given.configurations.index(best)]
    open_ = [one for one in smaller if one.status == "unclear"]
    if open_:
        count = formats.plural(len(open_), "smaller configuration was", "smaller configurations were")
        yield f"  {count} not measured at such a load and may hold it too: measure {open_[0].words} first"


def _not_held(given: Advice) -> Iterator[str]:
    """Say that nothing holds the load; name the nearest configuration, what breaks first there, what lies beyond."""
    yield "  no measured configuration was shown to hold it"
    nearest = given.nearest
    if nearest is not None:
        yield f"  nearest: {nearest.words}"
        shown = nearest.shown
        if nearest.held is not None:
            yield f"  it held {_by(nearest.held)}"
        elif shown is not None:
            yield f"  it did not hold {_by(shown)}"
        if nearest.status == "unclear" and shown is not None and shown.sure is not None:
            yield f"  the chance that it also holds {formats.count(given.target_events_per_s)}: {shown.sure:.0%}"
    if given.breaks_first:
        yield f"  what breaks first above it: {given.breaks_first}"
    yield from _beyond(given)


def _beyond(given: Advice) -> Iterator[str]:
    """Say that it is an extrapolation, or why there is none."""
    found = given.extrapolation
    if found is None:
        yield f"  beyond what was measured: nothing is said ({given.no_extrapolation})"
        return
    span = f"{formats.rounded(found.low_events_per_s)} to {formats.rounded(found.high_events_per_s)}"
    yield f"  EXTRAPOLATION, not measured: {found.consumers} consumers ({found.label}) would sustain"
    yield f"  {formats.rounded(found.events_per_s)} events/s ({span}), by the Universal Scalability Law fitted to up to"
    yield f"  {formats.plural(found.measured_up_to, 'consumer')}. It assumes that"
    yield from (f"  - {assumption}" for assumption in found.assumptions)


def _others(given: Advice) -> Iterator[str]:
    """List every configuration, smallest first, each with why."""
    yield ""
    yield "all configurations, smallest first"
    drained_alone = [one for one in given.configurations if one.shown is None]
    for one in given.configurations:
        if one.shown is not None:
            yield f"  {_STATUS[one.status]:<14} {one.words}: {_why(one, one.shown)}"
    if drained_alone:
        excluded = sum(one.status == "excluded" for one in drained_alone)
        alone = formats.plural(len(drained_alone), "configuration was", "configurations were")
        yield f"  {alone} drained alone; {excluded} of them cannot hold it, by its drains"
    if any(one.drained for one in given.configurations):
        yield f"  {NO_PROOF_BY_DRAINS}"


def _why(one: Configuration, shown: Shown) -> str:
    """Say in a line why a configuration has its status."""
    if one.status == "misses":
        return shown.how if shown.sure is not None else _by(shown)
    most = one.held or shown
    why = f"held {formats.rounded(most.load_events_per_s)} events/s ({most.cell})" if one.held else _by(shown)
    if one.status == "excluded" and one.drained is not None:
        why += f", drains at most {formats.rounded(one.drained.most_events_per_s)} events/s ({one.drained.cell})"
    if one.above is not None and one.above.sure is None:
        why += f"; {formats.rounded(one.above.load_events_per_s)} events/s missed it: {one.above.how}"
    return why


def _by(shown: Shown) -> str:
    """Return the evidence: at which load, of which cell, and how."""
    load = f"{formats.rounded(shown.load_events_per_s)} events/s, " if shown.load_events_per_s else ""
    return f"{load}{shown.cell}: {shown.how}"
