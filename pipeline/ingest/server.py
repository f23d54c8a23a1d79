"""The API as a whole: one process, or several that are watched over."""

from __future__ import annotations

import logging
import sys

from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd

from pipeline import logs, observer
from pipeline.errors import SettingError
from pipeline.ingest.listeners import listen, url
from pipeline.ingest.service import serve_on
from pipeline.ingest.supervisor import supervise
from pipeline.metrics import SharedMetrics
from pipeline.settings import Api, Settings

_COMPRESSIONS = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}


def serve(settings: Settings) -> int:
    """Answer HTTP until SIGTERM or SIGINT, drain, and return the exit code.

    Prints ``api ready on http://HOST:PORT`` once it answers; whether Kafka is there is another
    question, for ``/health/ready``.

    Raises:
        SettingError: the address cannot be listened on, the compression is not installed, the bounds contradict each
            other, or there is no such observer.
    """
    _check(settings.api)
    logs.configure("sanic")  # it has a line for every client that goes away
    logging.getLogger("sanic.error").addFilter(_is_news)
    # While Kafka is away aiokafka logs it several times a second; the publisher says it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    watching = observer.load(settings.observer, "api")
    listeners = listen(settings.api)

    def announce() -> None:
        sys.stdout.write(f"api ready on {url(listeners[0])}\n")
        sys.stdout.flush()

    if settings.api.processes == 1:
        serve_on(listeners[0], settings, None, on_ready=announce, observer=watching)
        return 0
    with SharedMetrics() as shared:
        return supervise(listeners, settings, shared, watching, on_ready=announce)


def _check(api: Api) -> None:
    """Refuse bounds under which what is promised could never be taken."""
    if api.max_in_flight_events < api.max_batch_events:
        remedy = f"a batch of {api.max_batch_events} events could never be taken; allow at least as many in flight"
        raise SettingError("PIPELINE_API_MAX_IN_FLIGHT_EVENTS", api.max_in_flight_events, remedy)
    if api.compression != "none" and not _COMPRESSIONS[api.compression]():
        remedy = "its library is not installed (pip install cramjam); choose none or gzip"
        raise SettingError("PIPELINE_API_COMPRESSION", api.compression, remedy)
    most = max(api.max_body_bytes, api.max_decompressed_bytes)
    if api.max_in_flight_bytes < most:
        remedy = f"a body of {most} bytes could never be taken; allow at least as many in flight"
        raise SettingError("PIPELINE_API_MAX_IN_FLIGHT_BYTES", api.max_in_flight_bytes, remedy)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to keep a log line of Sanic's: not if a client only sent a body that no route wants."""
    return not record.getMessage().endswith("body not consumed.")
