"""What a run's bundle says of its machine, beside what it measures: the generator's calibration, and the ceilings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bench import kinds
from bench.ceilings import freshness, loops, pinning, summary, targets
from bench.ceilings.freshness import Place
from bench.ceilings.session import CeilingsRequest
from bench.load import calibration
from bench.matrix.matrix import Matrix
from bench.observe.environment import describe, with_servers
from bench.run import plan
from bench.targets.servers import Servers
from bundle.ceilings import Ceilings
from bundle.errors import BundleError
from bundle.writing import BundleWriter
from pipeline.errors import TidemarkError
from pipeline.local.jars import cache_folder

Choice = Literal["auto", "always", "parts", "never"]
"""Of a run's ceilings: take kept ones or, if it is long enough, measure; measure in any case; our own parts too, in as
many rounds as a target needs; do without."""
SHARE_OF_A_RUN = 0.1
"""Of what a run is expected to take, what it may spend on ceilings, once it has a round of them..."""
SHARE_OF_FIRST_ROUND = 0.2
"""...and on that first round."""
_ROUNDS = {"always": freshness.ROUNDS, "parts": targets.ROUNDS}
_HOW = "./tidemark bench ceilings"


async def record(
    into: BundleWriter,
    wanted: Matrix,
    servers: Servers,
    *,
    local: bool,
    ceilings: Choice,
    on_progress: Callable[[str], None],
) -> None:
    """Let the bundle hold what can be known of the machine before the first repeat; what it holds already stays.

    ``servers``: with the run's own settings. What is missing is reported to ``on_progress``, and the run does without.
    """
    cache = cache_folder(servers.settings.local.cache_dir)
    if any(kinds.named(cell.kind).through_http for cell in wanted.cells) and into.read_calibration() is None:
        await _calibrate(into, wanted, cache, on_progress)
    if ceilings == "never" or into.read_ceilings() is not None:
        return
    here = with_servers(describe(), servers.versions)
    place = Place(here, servers, freshness.where(servers.settings, local=local), wanted.traffic, wanted.bounds)
    found = await _ceilings(into.path / "logs", wanted, place, cache, ceilings, on_progress)
    if found is not None:
        into.write_ceilings(summary.with_generator(found, into.read_calibration()))


def rounds_of(run_s: float, a_round_s: float) -> int:
    """Return how many rounds a run that takes ``run_s`` measures itself: what fits into its share, 0 if none does."""
    if a_round_s > SHARE_OF_FIRST_ROUND * run_s:
        return 0
    return max(1, min(freshness.ROUNDS, int(SHARE_OF_A_RUN * run_s / a_round_s)))


async def _calibrate(into: BundleWriter, wanted: Matrix, cache: Path, on_progress: Callable[[str], None]) -> None:
    """Find out what the generator can do here, or take what an earlier run on the same found."""
    try:
        found = await calibration.at_hand(cache, wanted.traffic, wanted.bounds, into.path / "logs", on_progress)
    except (TidemarkError, BundleError) as error:  # the repeats do without: each holds its generator against the bounds
        on_progress(f"the generator could not be calibrated: {error}")
    else:
        into.write_calibration(found)


async def _ceilings(
    logs: Path, wanted: Matrix, place: Place, cache: Path, choice: Choice, on_progress: Callable[[str], None]
) -> Ceilings | None:
    """Return kept ceilings that are fresh and fit, else those that the run measures itself; None for a short run."""
    needed = loops.needed({cell.kind for cell in wanted.cells}, place.here.hardware.cores)
    if choice == "parts":
        apart = place.where == "local" and pinning.possible()
        needed = (*loops.every(place.here.hardware.cores), *loops.parts(apart=apart))
    a_round_s = loops.round_s(needed)
    run_s = plan.expected_s(plan.order(wanted), search_s=wanted.search_s)
    rounds = _ROUNDS.get(choice) or rounds_of(run_s, a_round_s)
    asked = CeilingsRequest(needed, max(1, rounds), wanted.traffic, wanted.bounds)
    found = freshness.kept(cache, place, asked) if choice == "auto" else None
    if found is not None:
        on_progress(f"ceilings of this machine: those measured at {found.measured_at}")
        return found
    if not rounds:
        on_progress(f"no fresh ceilings of this machine are kept, and this run is too short to measure them: {_HOW}")
        return None
    on_progress(f"measuring the ceilings of this machine: about {plan.duration(rounds * a_round_s)}")
    try:
        return await freshness.measure(cache, place, asked, logs, on_progress)
    except (TidemarkError, BundleError) as error:  # the report then shows no shares
        on_progress(f"the ceilings could not be measured: {error}")
        return None
