"""What a cell is, as data: its axes, its sizes, what it has to reach, and the bounds of a valid measurement."""
