"""Pictures of every page that Tidemark has: ``./tidemark screenshots [FOLDER]``.

Each page is taken whole, in both themes, on a desk (1440 pixels wide) and on a phone (390):
``dashboard-live-dark-phone.png``. Kafka, MongoDB, the pipeline, its dashboard and Locust are started for it, on free
ports, and end with it. It takes about six minutes on two cores, and at most :data:`MOST_S`.

exit codes: 0 all pictures are there, 1 a page was not as it should be, 2 a missing part, 3 a crash, 130 interrupted
"""
# ruff: noqa: T201  a command line prints

from __future__ import annotations

import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

from pipeline.errors import TidemarkError
from tests.browser.screenshots import files, visits
from tests.browser.screenshots.album import Album
from tests.browser.screenshots.stage import Stage
from tests.integration.chromium import BINARY

MOST_S = 900
FOUND, MISSING, CRASHED, INTERRUPTED = 1, 2, 3, 130


def main(folder: Path) -> int:
    """Take all pictures into ``folder``; return the exit code."""
    if not BINARY:
        print("error: Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return MISSING
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.alarm(MOST_S)
    began_s = time.monotonic()
    try:
        taken = _take(folder)
    except TidemarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (Error, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FOUND
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception:  # noqa: BLE001  the process's edge
        traceback.print_exc()
        return CRASHED
    finally:
        signal.alarm(0)
    print(f"{taken} pictures in {folder}, in {time.monotonic() - began_s:.0f} s")
    return 0


def _take(folder: Path) -> int:
    with (
        tempfile.TemporaryDirectory() as logs,
        sync_playwright() as playwright,
        Album(playwright, folder) as album,
    ):
        with Stage(Path(logs)) as stage:
            visits.before_the_first_event(album, stage)
            with visits.load(album, stage) as began_s:
                files.reports(album)
                files.comparison(album, Path(logs))
                visits.shop(album, stage)
                visits.locust(album, stage)
                visits.dashboard(album, stage, began_s)
            visits.outages(album, stage)
        files.for_the_documents(album)
        return album.taken


def _too_long(*_: object) -> None:
    raise TimeoutError(f"the pictures were not all taken within {MOST_S} s")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")))
