"""Who may send: write keys, and the origins that browsers may send from."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from sanic import HTTPResponse, Request

from pipeline.ingest.answers import RefusedError
from pipeline.settings import Api

ANY_ORIGIN = "*"
_LATIN_1_END = 256
_PREFLIGHT_MAX_AGE_S = "600"


class WriteAccess:
    """The write keys and origins of the settings. No keys: everyone may send. No origins: no CORS headers."""

    def __init__(self, api: Api) -> None:
        """From ``api.write_keys`` and ``api.cors_origins``."""
        # Clients write characters outside ASCII in a header either as UTF-8 or as Latin-1.
        self._keys = {key.encode("latin-1"): key for key in api.write_keys if _is_latin_1(key)}
        self._keys |= {key.encode(): key for key in api.write_keys}
        self._origins = frozenset(api.cors_origins)

    def client(self, request: Request) -> str:
        """Return the write key that ``request`` came with; the empty string where none is asked for.

        Raises:
            RefusedError: 401 without a key, or with one that is not known.
        """
        if not self._keys:
            return ""
        given = _given(request)
        known = ""
        for key, text in self._keys.items():
            if hmac.compare_digest(key, given):  # in the same time, however much of the key is right
                known = text
        if not known:
            message = "send a known write key in the header X-Write-Key or as ?write_key="
            raise RefusedError(401, "unauthorized", message)
        return known

    def allow(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        """Add to ``response`` what a browser needs to hand it to a page of an allowed origin."""
        if self._origins:
            response.headers["vary"] = "origin"
            origin = self._allowed(request)
            if origin:
                response.headers["access-control-allow-origin"] = origin
                response.headers["access-control-allow-credentials"] = "true"  # beacons come with them, unasked
                response.headers["access-control-expose-headers"] = "x-event-id, retry-after"
        return response

    def preflight(self, request: Request) -> HTTPResponse:
        """Answer a browser that asks whether a page of its origin may send."""
        response = self.allow(request, HTTPResponse(b"", 204))
        if self._allowed(request):
            response.headers["access-control-allow-methods"] = "POST"
            response.headers["access-control-allow-headers"] = "content-type, content-encoding, x-write-key"
            response.headers["access-control-max-age"] = _PREFLIGHT_MAX_AGE_S
        return response

    def _allowed(self, request: Request) -> str:
        origin: str = request.headers.getone("origin", "")
        if not origin.isascii():  # no browser sends that, and no header could repeat it
            return ""
        return origin if origin and (ANY_ORIGIN in self._origins or origin in self._origins) else ""


def _given(request: Request) -> bytes:
    """The write key of ``request`` as the bytes that were sent."""
    key: str = request.headers.getone("x-write-key", "")
    if key:
        return key.encode(errors="surrogateescape")  # as Sanic decoded it
    if not request.query_string:
        return b""
    values = parse_qs(request.query_string, encoding="latin-1").get("write_key", [""])
    return values[0].encode("latin-1", "replace")


def _is_latin_1(key: str) -> bool:
    return all(ord(each) < _LATIN_1_END for each in key)
