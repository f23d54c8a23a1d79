"""Complete results in Locust's files.

Without this, the CSV files lack what came after their last write, the HTML page lacks the end of an interrupted test,
and printing JSON sets the numbers to zero that the tables and other files show later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from locust import stats
from locust.env import Environment
from locust.html import get_html_report, process_html_filename

from loadtest._listen import listen


class WholeCSV(stats.StatsCSVFileWriter):
    """Locust's CSV files, complete when they are closed."""

    def close_files(self) -> None:
        """Write each file once more, add the last moment to the history, and close them."""
        files: tuple[tuple[Any, Any, Any], ...] = (
            (self.requests_csv_filehandle, self.requests_csv, self.requests_csv_writer),
            (self.failures_csv_filehandle, self.failures_csv, self.failures_csv_writer),
            (self.exceptions_csv_filehandle, self.exceptions_csv, self.exceptions_csv_writer),
        )
        for file, write, writer in files:
            file.seek(0)
            file.truncate()
            write(writer)
        self._stats_history_data_rows(self.stats_history_csv_writer, time.time())
        super().close_files()


def whole_results() -> None:
    """Make Locust write its CSV files with :class:`WholeCSV`, and its JSON from a copy of its statistics."""
    vars(stats)["StatsCSVFileWriter"] = WholeCSV
    for name in ("print_stats_json", "save_stats_json"):
        vars(stats)[name] = _on_a_copy(vars(stats)[name])


def _on_a_copy(write: Callable[..., None]) -> Callable[..., None]:
    def write_copy(counted: stats.RequestStats, *arguments: Any) -> None:
        write(deepcopy(counted), *arguments)

    return write_copy


def whole_html(environment: Environment) -> None:
    """Write the HTML page again when all processes have ended: Locust writes it earlier, or not at all."""

    def write(**_: Any) -> None:
        options = environment.parsed_options
        if options is not None and options.html_file and not options.worker:
            process_html_filename(options)
            page = Path(options.html_file)
            page.parent.mkdir(parents=True, exist_ok=True)
            report: Any = get_html_report  # it has no types
            page.write_text(report(environment, show_download_link=False), encoding="utf-8")

    listen(environment.events.quit, write)
