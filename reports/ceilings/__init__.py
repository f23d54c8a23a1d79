"""Ceilings: what the parts reach with nothing around them, and what share of that each cell reached."""
