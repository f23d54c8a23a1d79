"""How a drain is shown: by its throughput, which is what the consumers can do."""

from __future__ import annotations

from reports.kinds.kind import Kind


class Drain(Kind):
    """A backlog that was there before its consumers."""

    name = "drain"
    rank = 2
    comes_first = True
    whole_path = False
    proves_loads = False
    scales = True
    primary = ("throughput",)
    costs = ("worker_cpu_s_per_100k_events", "cpu_s_per_100k_events")
    idle_roles = ("api",)
    question = "How fast do the consumers empty a backlog that was there before them?"


KIND = Drain()
