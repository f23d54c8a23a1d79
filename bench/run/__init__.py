"""A run: its plan, its repeats in their order, each through its phases and into the bundle."""
