"""Plants a fault in one process: Python runs this file at its start if its folder is on PYTHONPATH.

Only the self-test and the acceptance tests put it there, and the root of this checkout beside it. ``TIDEMARK_FAULT`` is
JSON: the ``role`` of the process that the fault is for, and what the fault needs. Other roles are left alone.
"""

import json
import os
import sys
from typing import Any

ROLES = {
    "generator": "locust",
    "api": "api",
    "worker": "worker",
    "witness": "bench.witness.witness",
    "reports": "reports",
}


def role_is(role: str) -> bool:
    """Whether this process was started as ``role``."""
    return ROLES[role] in sys.orig_argv[:4]


def plant(fault: dict[str, Any]) -> None:
    """Plant what ``fault`` asks for."""
    # The modules are loaded in the one process that they are for, not in every Python that starts.
    if "clock_ms" in fault:
        from bench.selftest.faults import clock  # noqa: PLC0415 - as said

        clock.plant(**fault)
    elif "starved_ms" in fault:
        from bench.selftest.faults import starvation  # noqa: PLC0415 - as said

        starvation.plant(**fault)
    elif "blind" in fault:
        from bench.selftest.faults import blindness  # noqa: PLC0415 - as said

        blindness.plant()
    else:
        from bench.selftest.faults import worker  # noqa: PLC0415 - as said

        worker.plant(**fault)


_fault = json.loads(os.environ.get("TIDEMARK_FAULT") or "{}")
if _fault and role_is(_fault.pop("role")):
    plant(_fault)
