"""The outcome of a run: passed, failed or inconclusive, its first line, and what was not decided."""
