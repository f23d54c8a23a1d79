"""Identities of many events at once, for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traffic import identity


def id_low_array(run: int, stream: int, first: int, count: int) -> NDArray[np.uint64]:
    """Return the low 64 bits of the ids of ``count`` consecutive sequences from ``first`` on."""
    return np.uint64(identity.id_low(identity.pack(run, stream, first))) + np.arange(count, dtype=np.uint64)
