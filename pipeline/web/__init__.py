"""The front end: the tracker that web pages load, and a demonstration shop that uses it."""
