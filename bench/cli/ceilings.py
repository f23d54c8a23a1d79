"""``./tidemark bench ceilings``: measure every bare loop on this machine, show the outcome, keep it for later runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench import rounds
from bench.ceilings import freshness, loops, pinning, summary
from bench.ceilings.freshness import Place
from bench.ceilings.loops import Loop
from bench.ceilings.meter import CLIENT
from bench.ceilings.session import CeilingsRequest
from bench.cells.bounds import Bounds
from bench.load import calibration
from bench.matrix import matrix
from bench.observe import machinecache
from bench.observe.benchlock import alone
from bench.observe.busy import Busy, WhenBusy
from bench.observe.environment import describe, with_servers
from bench.run import session as surroundings
from bench.run.plan import SERVERS_START_AND_STOP_S, duration
from bench.targets import servers
from bundle import files
from bundle.calibration import Calibration
from bundle.ceilings import BareLoop, Ceilings, Held
from bundle.errors import BundleError
from bundle.interval import Interval
from pipeline.errors import TidemarkError, UsageError
from pipeline.local.jars import cache_folder
from pipeline.settings import Settings
from traffic.spec import Traffic

_NOTHING = "-"
_CALIBRATION_S = 20.0
_HEADS = ("bare loop", "events/s", "95% interval", "CPU-s", "and of", "p99, ms")


@dataclass(frozen=True)
class Wanted:
    """What the user asked for. ``matrix``: whose traffic is measured; empty: the default traffic.

    ``parts``: our own parts too. ``only``: the names of the loops and parts to measure; empty: all. ``when_busy``: what
    is done where others use the machine.
    """

    rounds: int
    matrix: str = ""
    parts: bool = False
    only: tuple[str, ...] = ()
    json: Path | None = None
    when_busy: WhenBusy = "stop"


def run(wanted: Wanted, base: Settings, *, local: bool) -> None:
    """Measure, print, and write what came out as JSON if that is asked for.

    Raises:
        UsageError: the file cannot be written, or there is no such matrix.
        BusyError: others use the machine.
        MissingPartError: Kafka or MongoDB cannot be had.
        TidemarkError: a loop could not be measured.
    """
    _refuse_unwritable(wanted.json)
    given = matrix.load(wanted.matrix, api=base.api) if wanted.matrix else None
    traffic, bounds = (given.traffic, given.bounds) if given else (Traffic(), Bounds())
    console = Console(highlight=False)
    logs = Path(tempfile.mkdtemp(prefix="tidemark-ceilings-"))
    asked = CeilingsRequest(_chosen(wanted, apart=local and pinning.possible()), wanted.rounds, traffic, bounds)
    about_s = wanted.rounds * loops.round_s(asked.loops) + _CALIBRATION_S + SERVERS_START_AND_STOP_S
    what = "bare loops and parts" if wanted.parts else "bare loops"
    console.print(f"{len(asked.loops)} {what} in {wanted.rounds} rounds: about {duration(about_s)}")
    console.print("(in brackets: CPU-s per 100k events)")
    with (
        surroundings.logged(logs),
        surroundings.terminate_like_interrupt(),
        alone("ceilings", Busy(wanted.when_busy, bounds.disturbed_share, console.print, lambda *_: None)),
        servers.at_hand(base, logs, console.print, local=local) as started,
    ):
        here = with_servers(describe(), started.versions)
        place = Place(here, started, freshness.where(started.settings, local=local), traffic, bounds)
        found = surroundings.run(_measure(asked, place, logs, console, keep=not wanted.only))
    shutil.rmtree(logs, ignore_errors=True)  # where it failed they stay: the error names them
    if wanted.json is not None:
        files.write(wanted.json, found)
    console.print(shown(found, bounds))
    if not wanted.only:
        hours = freshness.FRESH_S / 3_600
        console.print(f"The loops are kept for runs of the next {hours:g} hours on this machine and these servers.")


async def _measure(asked: CeilingsRequest, place: Place, logs: Path, console: Console, *, keep: bool) -> Ceilings:
    cache = cache_folder(place.settings.local.cache_dir)
    calibrated: Calibration | None = None
    try:
        calibrated = await calibration.at_hand(cache, place.traffic, place.bounds, logs, console.print)
    except (TidemarkError, BundleError) as error:
        console.print(f"the generator could not be calibrated: {error}")
    found = await freshness.measure(cache, place, asked, logs, console.print, keep=keep)
    return summary.with_generator(found, calibrated)


def _chosen(wanted: Wanted, *, apart: bool) -> tuple[Loop, ...]:
    """Return the loops that were asked for; raises UsageError where there is none of a name."""
    every = loops.every(describe().hardware.cores) + (loops.parts(apart=apart) if wanted.parts else ())
    unknown = [name for name in wanted.only if name not in {loop.name for loop in every}]
    if unknown:
        names = ", ".join(loop.name for loop in every)
        hint = "" if wanted.parts else "; with --parts those of our own parts too"
        raise UsageError(f"--only {unknown[0]}: there is none of this name: choose from {names}{hint}")
    return tuple(loop for loop in every if not wanted.only or loop.name in wanted.only)


def shown(found: Ceilings, bounds: Bounds) -> RenderableType:
    """Return the table of the loops, 80 columns wide, and what has to be known with it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(*(Text(head, style="bold") for head in _HEADS))
    for loop in [*found.loops, *found.parts]:
        client, other = _costs(loop)
        rate = f"{loop.events_per_s.mean:,.0f}"
        cells = [loop.name, rate, _span(loop.events_per_s), client, other, _service_time(loop)]
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return Group(Text(""), table, *(Text(line) for line in _remarks(found, bounds)), *_held(found.held))


def _held(held: Sequence[Held]) -> list[RenderableType]:
    """Return a row for each target of a part: its result, its bounds, what was wanted, and whether it is met."""
    if not held:
        return []
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(*(Text(head, style="bold") for head in ("part", "against", "ratio", "bounds", "wanted", "")))
    for each in held:
        against = each.against or _limit(each)
        ratio = _NOTHING if each.ratio is None else f"{each.ratio:.3f}"
        span = _NOTHING if each.low is None or each.high is None else f"{each.low:.3f} {each.high:.3f}"
        wanted = f"{'>=' if each.side == 'at least' else '<='} {each.share:g}"
        verdict = Text(each.verdict, style={"met": "green", "not met": "red"}.get(each.verdict, "yellow"))
        cells = [f"{each.part}: {each.quantity}", against, ratio, span, wanted]
        table.add_row(*(Text(cell, overflow="fold") for cell in cells), verdict)
    words = (
        "ratio: geometric mean of the rounds' pairs, with its one-sided 95% bounds; a target is met when the bound "
        f"of at least {rounds.FEWEST_PAIRS} pairs clears it."
    )
    return [Text(""), table, Text(""), Text(words)]


def _limit(held: Held) -> str:
    return f"{held.pairs[0].against:,g}" if held.pairs else _NOTHING


def _costs(loop: BareLoop) -> tuple[str, str]:
    """Return what the loop's own process used, and what the one server that it works with did, by name."""
    costs = dict(loop.cpu_s_per_100k_events)
    parts = [costs.pop(role) for role in (loops.WORKER, loops.API) if role in costs]
    client = costs.pop(CLIENT, None) or costs.pop(loops.GENERATOR, None)
    if parts:  # of a part its own, not that of what loads it
        client = parts[0]
    other = ", ".join(f"{role} {cost.mean:.2f}" for role, cost in costs.items())
    return f"{client.mean:.2f}" if client else _NOTHING, other or _NOTHING


def _remarks(found: Ceilings, bounds: Bounds) -> Sequence[str]:
    how = (
        "events/s: geometric mean over the rounds, with its 95% t interval. CPU-s: per 100k events, of the loop's own "
        "process and of what it works with. p99: of the service time of a request, lowest to highest round."
    )
    lines = ["", how, *_void(found)]
    if found.servers != "local":
        lines.append("Kafka and MongoDB are your own: what they used is not known.")
    if machinecache.is_disturbed(found.disturbance, bounds):
        seen = found.disturbance
        users = f"{seen.other_programs:.0%} by other programs, {seen.stolen:.0%} by its host" if seen else "by others"
        lines.append(f"Caution: the machine was used beside the loops ({users}): they reach more when it is quiet.")
    return lines


def _void(found: Ceilings) -> list[str]:
    void = [loop.name for loop in (*found.loops, *found.parts) for each in loop.repeats if not each.valid]
    if not void:
        return []
    names = ", ".join(dict.fromkeys(void))
    return [f"Void, as others used too much of the machine, and not in the figures: {len(void)} repeats, of {names}."]


def _service_time(loop: BareLoop) -> str:
    """Return p99 of each round, lowest and highest: percentiles are not averaged."""
    valid = [each for each in loop.repeats if each.valid]
    p99_ms = [each.service_time_ms.p99 for each in valid if each.service_time_ms and each.service_time_ms.p99]
    if not p99_ms:
        return _NOTHING
    low, high = f"{min(p99_ms):.1f}", f"{max(p99_ms):.1f}"
    return low if low == high else f"{low} to {high}"


def _span(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return _NOTHING
    return f"{_thousands(interval.low)} to {_thousands(interval.high)}"


def _thousands(rate: float) -> str:
    """Return a rate in thousands: 7.03k, 45.3k, 387k."""
    thousands = rate / 1_000
    return f"{thousands:.{max(0, 3 - len(str(int(thousands))))}f}k"


def _refuse_unwritable(path: Path | None) -> None:
    """Find out before minutes of measuring whether the file can be written."""
    if path is None:
        return
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--json {path} cannot be written: name a file in a folder that is there and can be written")
