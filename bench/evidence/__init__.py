"""What one repeat left behind: ledgers, deliveries, documents and dead letters, joined event by event."""
