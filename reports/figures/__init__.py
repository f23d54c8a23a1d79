"""The figures of a report: each a drawing, its data, and a caption."""
