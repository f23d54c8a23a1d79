"""Where a system stops keeping up, as an interval, from loads that it held and loads that it did not.

Between repeats a machine is now faster, now slower, so near the threshold a load is held in some repeats only. As in
adaptive psychometric methods (Kontsevich and Tyler, 1999, and those before), the share of repeats that hold a load is
taken as Phi((ln threshold - ln load) / spread), and threshold and spread get a posterior distribution on a grid.
The prior is broad: even over the logarithm of the threshold, from well below the lowest load tried to well above the
highest (to a fifth beyond it on a side that no probe bounds), and log-normal over the spread, from a third to three
times of what was found on small shared machines, from one run to the next too. A dozen probes say little of the spread,
so on a quiet machine the interval is wider than it had to be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy import special

# Of ln capacity. The repeats of one run on two shared cores (tests/unit/data/noise.json) showed 0.1, the probes of six
# runs of `quick` together 0.125.
SPREAD = 0.125
_LN_SPREAD_SPREAD = 0.6
_MARGIN_LN = 1.0
_OPEN_LN = 0.2  # on a side that no probe bounds: the farther the prior goes there, the more it alone decides
_THRESHOLDS = 301
_SPREADS = 9


class LimitInterval(Struct, frozen=True):
    """The posterior's median and central interval, in events/s; None on a side that no probe bounds.

    ``low`` is None where no load was held, ``high`` where none was missed.
    """

    median: float
    low: float | None
    high: float | None


def interval(loads: Sequence[float], held: Sequence[bool], confidence: float) -> LimitInterval:
    """Return the interval for the threshold (events/s) from loads tried, one or more, and whether each was held."""
    ln_loads = np.log(np.asarray(loads, dtype=np.float64))
    below_ln, above_ln = (_MARGIN_LN if bounded else _OPEN_LN for bounded in (any(held), not all(held)))
    ln_thresholds = np.linspace(ln_loads.min() - below_ln, ln_loads.max() + above_ln, _THRESHOLDS)
    deviations = np.linspace(-2, 2, _SPREADS)
    spreads = SPREAD * np.exp(_LN_SPREAD_SPREAD * deviations)
    signs = np.where(np.asarray(held), 1.0, -1.0)
    places = (ln_thresholds[:, None, None] - ln_loads) / spreads[:, None]
    log_posterior = special.log_ndtr(signs * places).sum(axis=-1) - deviations**2 / 2
    weights = np.exp(log_posterior - log_posterior.max()).sum(axis=1)
    below = np.cumsum(weights) / weights.sum()
    outside = (1 - confidence) / 2
    low, median, high = np.exp(np.interp((outside, 0.5, 1 - outside), below, ln_thresholds))
    return LimitInterval(float(median), float(low) if any(held) else None, None if all(held) else float(high))
