"""Statistics, written once for bench and reports: intervals, tests, power, percentiles, histograms.

It imports nothing of the project, and scipy in place of formulas of its own where scipy has them.
"""
