"""Compares two runs: measures matched by cell and round, their ratios judged, and the words, files and page for it."""
