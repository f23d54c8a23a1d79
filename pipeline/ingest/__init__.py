"""HTTP in, Kafka out."""

from pipeline.ingest.server import serve

__all__ = ["serve"]
