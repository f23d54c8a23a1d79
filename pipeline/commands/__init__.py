"""The commands of ``./tidemark`` that are no role of the pipeline: up, check, find, dead-letters."""
