"""Measurements in pairs: a revision or a setting against another, steps, recording, the dashboard."""
