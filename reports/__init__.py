"""Reads a run's bundle and writes its report; shares no code with what measured, only the bundle's files."""
