"""The traffic that loads the pipeline: Locust's users around a schedule and a ledger that need no Locust."""
