"""The search for the sustainable throughput: what to probe next, and whether a probe was sustained."""
