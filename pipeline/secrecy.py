"""What of a setting may be shown: passwords, tokens and keys never stand in a log, an error or a bundle."""

from __future__ import annotations

import re

HIDDEN = "***"

# A URI of MongoDB in which it is clear where each part ends: whoever needs one of :/?#[]@ in a user's name, a
# password or an option's value writes it percent-encoded.
_URI = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?://)"
    r"(?:(?P<user>[^:/?#\[\]@]*)(?P<password>:[^:/?#\[\]@]*)?@)?"
    r"(?P<hosts>[^/?#@]+)"
    r"(?P<database>/[^/?#@]*)?"
    r"(?:\?(?P<options>(?:[^=&#@]+=[^&#@]*(?:&(?!$)|$))*))?"
)
# Options whose values are no secret; what is not among them is hidden.
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
    """Whether ``uri`` is one of MongoDB's of which it is certain what is a secret."""
    return _URI.fullmatch(uri) is not None


def shown_uri(uri: str) -> str:
    """Give ``uri`` as it may be shown to anyone; of one that cannot be taken apart, nothing but its scheme."""
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
    """Give what a library says of ``uri``, or only the kind of its error where the words could hold a secret."""
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
