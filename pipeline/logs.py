"""The log of a process: on standard error, in one form, without the chatter of libraries."""

from __future__ import annotations

import logging
import sys
import time

_SAY_AGAIN_S = 10.0


def configure(*warnings_only: str) -> None:
    """Log from INFO on; of the libraries ``warnings_only`` only what is a warning or worse."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for library in warnings_only:
        logging.getLogger(library).setLevel(logging.WARNING)


def thin_out(library: str) -> None:
    """Let ``library`` log the same message at most once in ten seconds."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter(library))


class RepeatFilter(logging.Filter):
    """Lets a library say the same thing once in a while only: with Kafka away, aiokafka says it ten times a second."""

    def __init__(self, library: str) -> None:
        """``library`` is the name of its logger, those below it included."""
        super().__init__()
        self._library = library
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep ``record`` unless the library said it within the last ten seconds."""
        if record.name.partition(".")[0] != self._library:
            return True
        now_s = time.monotonic()
        text = str(record.msg)  # with its place-holders: a bounded number of them
        if now_s - self._said_s.get(text, -_SAY_AGAIN_S) < _SAY_AGAIN_S:
            return False
        self._said_s[text] = now_s
        return True
