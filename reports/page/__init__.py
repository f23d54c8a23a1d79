"""The files of a report: the HTML page, its templates, and the summaries."""
