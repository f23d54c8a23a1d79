"""What stands in each section of the report, in words, figures and tables."""
