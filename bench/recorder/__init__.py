"""What the harness has written down in the pipeline's processes, by way of the pipeline's observer hook."""
