"""The command line of the bench: its options, and the commands that do more than call another package."""
