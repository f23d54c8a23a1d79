"""The version of the schema: every JSON file of a bundle has it as ``schema_version``."""

from __future__ import annotations

SCHEMA_VERSION = 2
