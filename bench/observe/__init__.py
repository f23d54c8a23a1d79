"""What is read of machine, processes and servers while a repeat runs."""
