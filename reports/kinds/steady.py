"""How a steady cell is shown: by what it stored of its offered load, and by its times."""

from __future__ import annotations

from reports.kinds.kind import Kind


class Steady(Kind):
    """A load through HTTP that does not wait for the system."""

    name = "steady"
    rank = 3
    costs = ("api_cpu_s_per_100k_events", "worker_cpu_s_per_100k_events", "cpu_s_per_100k_events")
    question = "What was stored of an offered load that does not wait for the system?"


KIND = Steady()
