"""From the evidence of a repeat to its result: audit, clocks, latency, validity."""
