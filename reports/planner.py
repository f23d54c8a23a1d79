"""``./tidemark bench advise``: the answer for one load, as lines for a person and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipeline.errors import UsageError
from reports import advice, bundle, cells, formats, objective
from reports.advice import Advice
from reports.configurations import Configuration

EXIT_HOLDS, EXIT_NOT_SHOWN = 0, 1
NO_PROOF_BY_DRAINS = (
    "A drain shows what consumers and MongoDB do while the API is idle: no proof for the whole path, only a bound."
)
_STATUS = {"holds": "holds it", "misses": "misses it", "unclear": "not shown", "excluded": "cannot hold it"}


def tell(run: str, runs: Path, target: float, asked: str, json: Path | None) -> int:
    """Answer for a run, named by its folder or by its name under ``runs``; print it, and give the exit code.

    Raises:
        UsageError: there is no such run, the objective or the target is not understood, no cell could answer, or the
            file for the JSON cannot be written.
        BundleError: the run cannot be read.
    """
    wanted = objective.parse(asked)
    read = bundle.load(bundle.find(run, runs))
    given = advice.advise(read, cells.of(read), target, wanted)
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
    """0 where a measured configuration holds the load, 1 where none was shown to."""
    return EXIT_HOLDS if given.best else EXIT_NOT_SHOWN


def to_json(given: Advice) -> str:
    """Give the whole answer."""
    return msgspec.json.format(msgspec.json.encode(given), indent=1).decode() + "\n"


def lines(given: Advice) -> Iterator[str]:
    """Give the answer for a person, line by line."""
    yield f"{formats.count(given.target_events_per_s)} events/s with {given.objective}"
    yield ""
    if given.best is not None and given.best.shown is not None:
        yield f"  {given.best.words}"
        yield f"  shown at {_by(given.best)}"
        smaller = given.configurations[: given.configurations.index(given.best)]
        open_ = [one for one in smaller if one.status == "unclear"]
        if open_:
            count = formats.plural(len(open_), "smaller configuration was", "smaller configurations were")
            yield f"  {count} not measured at such a load: what is smallest is open, {open_[0].words} comes first"
    else:
        yield "  no measured configuration was shown to hold it"
        yield from _beyond(given)
    yield ""
    yield f"smallest means: {given.smallest}"
    told = [f"{name} {formats.value(value)}" for name, value in given.conditions.items()]
    yield f"measured with: {', '.join(told)}"
    if given.left_out:
        yield f"left out, as measured otherwise: {', '.join(given.left_out)}"
    yield from _others(given)
    if given.measure_next:
        yield ""
        yield "next"
        for line in given.measure_next:
            yield from (f"  {part}" for part in line.splitlines())


def _beyond(given: Advice) -> Iterator[str]:
    """Tell an extrapolation as what it is, or why there is none."""
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
        if one.shown is None:
            continue
        yield f"  {one.words}: {_STATUS[one.status]}"
        yield f"      {_by(one)}"
        if one.above is not None:
            yield f"      {formats.rounded(one.above.load_events_per_s)} events/s missed it: {one.above.how}"
        if one.drained is not None:
            most = formats.rounded(one.drained.most_events_per_s)
            yield f"      drains at most {most} events/s ({one.drained.cell})"
    if drained_alone:
        excluded = sum(one.status == "excluded" for one in drained_alone)
        alone = formats.plural(len(drained_alone), "configuration was", "configurations were")
        yield f"  {alone} drained alone; {excluded} of them cannot hold it, by its drains"
    if any(one.drained for one in given.configurations):
        yield f"  {NO_PROOF_BY_DRAINS}"


def _by(one: Configuration) -> str:
    """Give the evidence: at which load, of which cell, and how."""
    if one.shown is None:
        return formats.NOTHING
    load = f"{formats.rounded(one.shown.load_events_per_s)} events/s, " if one.shown.load_events_per_s else ""
    return f"{load}{one.shown.cell}: {one.shown.how}"
