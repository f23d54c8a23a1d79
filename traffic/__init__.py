"""What is sent and when, free of Locust: identities, schedules, content, the ledger of what became of each request."""
