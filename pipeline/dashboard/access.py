"""Who may look: whoever has the token, by header or cookie, or once in the URL."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import parse_qs

from sanic import HTTPResponse, Request
from sanic.response import redirect

COOKIE = "tidemark_dashboard"
"""What the cookie's name begins with; see :func:`cookie_name`."""

_HOST = re.compile(r".*:([0-9]{1,5})", re.DOTALL)
_MADE_BYTES = 24
_MOST_FIELDS = 20
_COOKIE_MAX_AGE_S = 30 * 24 * 3600
_COOKIE_CONTEXT = b"the cookie of Tidemark's dashboard"


def new_token() -> str:
    """Make a token that nobody can guess."""
    return secrets.token_urlsafe(_MADE_BYTES)


class TokenCheck:
    """Compares what a request brings with the token, in a time that does not depend on how much of it is right."""

    def __init__(self, token: str) -> None:
        """``token`` is plain ASCII and not empty."""
        if not token:
            raise ValueError("a dashboard without a token would be open to everyone")
        self._token = token.encode()
        # Not the token: what a browser keeps on disk opens this dashboard alone, and no log of the token finds it.
        self._cookie = hmac.new(self._token, _COOKIE_CONTEXT, hashlib.sha256).hexdigest()

    def allows(self, request: Request) -> bool:
        """Whether ``request`` comes with the token in ``Authorization: Bearer``, or with the cookie."""
        scheme, _, token = request.headers.getone("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(token.strip()):
            return True
        cookie = request.cookies.get(cookie_name(request)) or ""
        return hmac.compare_digest(_bytes(cookie), self._cookie.encode())

    def is_token(self, text: str) -> bool:
        """Whether ``text`` is the token."""
        return hmac.compare_digest(_bytes(text), self._token)

    def token_in(self, query_string: str) -> str:
        """Return the token that a URL's query has, right or wrong; empty for none."""
        return fields(query_string).get("token", "")

    def let_in(self, request: Request) -> HTTPResponse:
        """Answer with the cookie and the way to the page: the token leaves the URL, and so history and logs."""
        response = redirect("/", status=303)
        response.add_cookie(
            cookie_name(request),
            self._cookie,
            path="/",
            httponly=True,
            secure=False,  # plain HTTP on this machine; a proxy that adds TLS may add the rest
            samesite="Lax",
            max_age=_COOKIE_MAX_AGE_S,
        )
        return response


def cookie_name(request: Request) -> str:
    """Return the cookie's name, with the port: browsers share cookies between ports, and two dashboards may run."""
    found = _HOST.fullmatch(request.headers.getone("host", ""))
    return f"{COOKIE}_{found[1]}" if found else COOKIE


def fields(text: str) -> dict[str, str]:
    """Return the fields of a query or a form, each with its first value; none of a text with too many."""
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=_MOST_FIELDS).items()}
    except ValueError:
        return {}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
