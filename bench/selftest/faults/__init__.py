"""Faults, and how Python gets them into a process: see sitecustomize.py."""
