"""Ratios of two runs, matched by cell and round, and what their intervals say."""
