"""What goes through Kafka: events, their ids and timestamps, topics, dead letters, notes beside offsets."""
