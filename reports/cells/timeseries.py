"""What a repeat did second by second, as a data frame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow.parquet as pq

from bundle.reading import Repeat

EVENT_COLUMNS = ("second", "offered", "accepted", "stored", "backlog")


def read(repeat: Repeat, columns: Sequence[str] = EVENT_COLUMNS) -> pd.DataFrame | None:
    """Read one row a second, of the ``columns`` that are there; None where the file is missing or damaged."""
    path = repeat.path / "timeseries.parquet"
    if not path.is_file():
        return None
    try:
        # Not by pandas: a run has hundreds of these files, and that takes four times as long for a small one.
        with pq.ParquetFile(path) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            read = file.read(columns=there)
            frame = pd.DataFrame({name: read.column(name).to_numpy() for name in there})
    except (OSError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
        return None
    return frame if {"second", "backlog"} <= set(frame.columns) else None
