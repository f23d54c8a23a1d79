"""The witness: a prober of its own that sends single events and looks for them in MongoDB."""
