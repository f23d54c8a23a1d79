"""What offers the load of a repeat: the generator, the preload of a drain, and what the generator can do."""
