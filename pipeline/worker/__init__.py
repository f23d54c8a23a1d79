"""Kafka in, MongoDB out."""

from pipeline.worker.process import run

__all__ = ["run"]
