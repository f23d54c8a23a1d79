"""From a TOML file to cells: axes, their combinations, and what is wrong with the file, by line."""
