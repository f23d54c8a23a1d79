"""The files in which the bench and the reports meet: their schema, and how a run's folder is written and read.

It imports nothing of the project. docs/bundle.md describes every file and field.
"""
