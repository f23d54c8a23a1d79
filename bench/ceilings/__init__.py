"""Ceilings: what the parts of the pipeline cost and reach on this machine when nothing is around them."""
