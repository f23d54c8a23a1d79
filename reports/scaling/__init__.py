"""How throughput grows with the consumers: the fitted curve, and which cells it can be fitted through."""
