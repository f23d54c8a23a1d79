"""Load profiles: how the offered load changes over a test, as integrals in closed form."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from traffic.spec import LoadSpec, ProfileShape

Seconds = NDArray[np.float64]

DEFAULT_PERIOD_S = 300.0


def cumulative_s(spec: LoadSpec, at_s: Seconds) -> Seconds:
    """Return the integral of the load's factor from 0 to each of ``at_s``.

    Multiplied by the offered load it is how many events are due until then; with the constant profile it is
    ``at_s`` itself. It never falls, and its value for one moment does not depend on the others asked for.
    """
    shape = spec.profile_shape
    period_s = shape.period_s or spec.duration_s or DEFAULT_PERIOD_S
    match spec.profile:
        case "constant":
            return at_s
        case "ramp":
            return _ramp(shape, period_s, at_s)
        case "step":
            return _step(shape, period_s, at_s)
        case "spike":
            return _spike(shape, period_s, at_s)
        case "diurnal":
            return at_s - shape.diurnal_amplitude * period_s / (2 * pi) * np.sin(2 * pi * at_s / period_s)


def _ramp(shape: ProfileShape, period_s: float, at_s: Seconds) -> Seconds:
    rising_s = np.minimum(at_s, period_s)
    rise = shape.ramp_from * rising_s + (1 - shape.ramp_from) * rising_s**2 / (2 * period_s)
    return rise + (at_s - rising_s)


def _step(shape: ProfileShape, period_s: float, at_s: Seconds) -> Seconds:
    length_s = period_s / shape.steps
    whole = np.minimum(np.floor(at_s / length_s), shape.steps)
    below: Seconds = length_s * whole * (whole + 1) / 2 / shape.steps
    within: Seconds = (at_s - whole * length_s) * np.minimum(whole + 1, shape.steps) / shape.steps
    return below + within


def _spike(shape: ProfileShape, period_s: float, at_s: Seconds) -> Seconds:
    length_s = shape.spike_length * period_s
    periods = np.floor(at_s / period_s)
    in_this_one: Seconds = np.clip(at_s - periods * period_s - shape.spike_start * period_s, 0, length_s)
    spiked_s: Seconds = at_s + (shape.spike_factor - 1) * (periods * length_s + in_this_one)
    return spiked_s
