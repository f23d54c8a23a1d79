"""The system under test: HTTP in (ingest), Kafka between, MongoDB out (worker)."""
