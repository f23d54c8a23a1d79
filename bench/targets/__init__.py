"""What is measured: the servers, the system under test on them, and the code that it runs."""
