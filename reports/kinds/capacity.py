"""How a search for capacity is shown: by its one answer, and the probes that it rests on."""

from __future__ import annotations

from reports.kinds.kind import Kind


class Capacity(Kind):
    """A search for the highest load that is sustained."""

    name = "capacity"
    rank = 1
    searched = True
    scales = True
    primary = ("sustainable_throughput",)
    repeat = "probe"

    @property
    def heading(self) -> str:
        """What stands above the stages of its cells, which are those of the probes at the answer."""
        return f"{self.title}, at their sustainable throughput"


KIND = Capacity()
