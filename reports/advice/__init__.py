"""Which configuration holds a load, what proves it, and what to measure next."""
