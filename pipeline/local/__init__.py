"""Real Kafka and real MongoDB as child processes: what runs where there is no Docker."""
