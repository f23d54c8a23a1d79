"""The live view: an independent consumer group that counts, and a page that shows."""

from pipeline.dashboard.process import run

__all__ = ["run"]
