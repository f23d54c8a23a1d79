"""HTTP as the generator needs it: one POST, one answer or none, and never the same POST twice.

It is geventhttpclient's plain client, the one below Locust's FastHttpUser: that follows redirects and takes
its own times, and here neither is wanted. The client sends again on a broken connection only what is
idempotent, which a POST is not, and looks whether the server has closed an idle connection before it uses it.
"""

from __future__ import annotations

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError
from geventhttpclient.url import URL

from loadtest._answer import Answer, answer_of
from loadtest._payload import BATCH_PATH, Payload
from pipeline.errors import UsageError

MAX_CONNECTIONS = 512


class Transport:
    """The connections of one process to one server; the one used last is used next."""

    def __init__(self, host: str, timeout_s: float, write_key: str = "") -> None:
        """``host`` is a URL such as ``http://localhost:8000``, ``timeout_s`` bounds one request as a whole.

        Raises:
            UsageError: ``host`` is no such URL.
        """
        if not host.startswith(("http://", "https://")) or not URL(host).host:
            raise UsageError(f"--host {host!r} cannot be used: it is a URL such as http://localhost:8000")
        self._url = URL(host)
        self._prefix = self._url.path.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"X-Write-Key": write_key} if write_key else {}
        self._client = self._connect()

    def send(self, payload: Payload) -> Answer:
        """Send one request and wait for its answer."""
        client = self._client
        try:
            with gevent.Timeout(self._timeout_s):
                response = client.request(
                    "POST", self._prefix + payload.path, body=payload.body, headers=payload.headers
                )
                body = response.read()
        except gevent.Timeout:
            # Interrupted in the middle of sending, the client may have lost count of its connections.
            if client is self._client:
                client.close()
                self._client = self._connect()
            return Answer(status=0, error=f"no answer within {self._timeout_s:g} s")
        except (OSError, HTTPParseError) as error:
            return Answer(status=0, error=f"no answer: {type(error).__name__}")
        return answer_of(response.status_code, body, batch=payload.path == BATCH_PATH)

    def close(self) -> None:
        """Close idle connections now, the others when their answer is there."""
        self._client.close()

    def _connect(self) -> HTTPClient:
        # The client's own time-outs are for single steps; they stand above ours, which is for the whole.
        return HTTPClient.from_url(
            self._url,
            headers=self._headers,
            concurrency=MAX_CONNECTIONS,
            connection_timeout=2 * self._timeout_s,
            network_timeout=2 * self._timeout_s,
        )
