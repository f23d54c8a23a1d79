"""The way of accepted events into Kafka: one connection, and on it one sender for each broker."""
