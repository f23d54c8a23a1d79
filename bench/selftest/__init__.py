"""The harness tests itself: real runs with planted faults, each of which it has to see and to name."""
