"""What the repeats of a cell say together, and what bounds the cell."""
