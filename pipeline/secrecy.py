"""What may be shown of a setting: passwords, tokens and keys never appear in a log, an error or a bundle."""

from __future__ import annotations

import re

HIDDEN = "***"

# A MongoDB URI in which it is clear where each part ends: a :/?#[]@ in a user name, a password or an option's value
# has to be percent-encoded.
_URI = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?://)"
    r"(?:(?P<user>[^:/?#\[\]@]*)(?P<password>:[^:/?#\[\]@]*)?@)?"
    r"(?P<hosts>[^/?#@]+)"
    r"(?P<database>/[^/?#@]*)?"
    r"(?:\?(?P<options>(?:[^=&#@]+=[^&#@]*(?:&(?!$)|$))*))?"
)
# Options whose values are not secret; all others are hidden.
_PLAIN_OPTIONS = frozenset(
    {
        *("appname", "authmechanism", "authsource", "compressors", "connecttimeoutms", "directconnection"),
        *("heartbeatfrequencyms", "journal", "loadbalanced", "localthresholdms", "maxidletimems", "maxpoolsize"),
        *("maxstalenessseconds", "minpoolsize", "readconcernlevel", "readpreference", "replicaset", "retryreads"),
        *("retrywrites", "serverselectiontimeoutms", "sockettimeoutms", "ssl", "timeoutms", "tls", "w", "wtimeoutms"),
    }
)
_FRAGMENT = 4


def is_clear(uri: str) -> bool:
    """Whether ``uri`` is a MongoDB URI in which every secret can be recognised."""
    return _URI.fullmatch(uri) is not None


def shown_uri(uri: str) -> str:
    """Return ``uri`` without secrets; only its scheme if it cannot be parsed."""
    found = _URI.fullmatch(uri)
    if found is None:
        return "mongodb+srv://***" if uri.startswith("mongodb+srv://") else "mongodb://***"
    user = ""
    if found["user"] is not None:
        user = found["user"] + (f":{HIDDEN}" if found["password"] else "") + "@"
    options = "&".join(_shown_option(each) for each in (found["options"] or "").split("&") if each)
    return found["scheme"] + user + found["hosts"] + (found["database"] or "") + ("?" + options if options else "")


def _shown_option(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={value if name.lower() in _PLAIN_OPTIONS else HIDDEN}"


def reason(error: Exception, uri: str) -> str:
    """Return a library's message about ``uri``, or only the type of its error if the message could hold a secret."""
    said = str(error)
    found = _URI.fullmatch(uri)
    secrets = [uri] if found is None else [(found["password"] or "").removeprefix(":")]
    for option in (found["options"] or "").split("&") if found else ():
        name, _, value = option.partition("=")
        secrets += [value] if name.lower() not in _PLAIN_OPTIONS else []
    fragments = (
        secret[at : at + _FRAGMENT] for secret in secrets for at in range(max(1, len(secret) - _FRAGMENT + 1)) if secret
    )
    return type(error).__name__ if any(fragment in said for fragment in fragments) else said
