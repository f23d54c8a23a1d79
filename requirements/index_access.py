"""How pip and uv reach a package index, by the user's settings, and what to do where an installer fails.

uv does not read pip's settings: ``pip config list`` prints them, and they become uv's variables.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# pip's settings, and the variables by which uv takes the same. Others of uv's variables that say how to
# reach an index pass too; those that could change what is installed do not.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
}
REACHING_AN_INDEX = {
    *UV_VARIABLES.values(),
    *("UV_CACHE_DIR", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_HTTP_RETRIES", "UV_LINK_MODE", "UV_OFFLINE"),
    *("UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_CONCURRENT_DOWNLOADS"),
}
_LITTLE_BYTES = 20_000_000
_NO_SPACE = "No space left on device"
_FULL = rf"{_NO_SPACE}|os error 28|Errno 28|[Qq]uota exceeded"
_READ_ONLY = r"Read-only file system|os error 30|Errno 30"
_FORBIDDEN = r"Permission denied|os error 13|Errno 13|Operation not permitted"
_CAME_OTHER = r"[Hh]ash mismatch|NOT MATCH THE HASHES|[Hh]ashes are required|must have (a hash|their versions)"
_NO_ANSWER = r"[Ff]ailed to fetch|error sending request|dns error|timed out|Retrying|[Cc]onnection|offline|certificate"
# What installers and the system say, and what a person can do about it. The first that fits is shown.
REMEDIES = {
    _FULL: "The disk is full: free about 800 MB where {home} is, and start again.",
    _READ_ONLY: "{home} is on a read-only file system: clone Tidemark into a folder that you may write to.",
    _FORBIDDEN: "You may not write to {home}/.venv: clone Tidemark into a folder of your own.",
    _CAME_OTHER: (
        "What came is not what the lock names, so it was not installed. Ask who runs your mirror of the package "
        "index; if you changed a lock, write it with ./tidemark lock."
    ),
    _NO_ANSWER: (
        "No package index answered. Check the network, then start again: what was fetched is kept. pip's settings "
        "hold here too (PIP_INDEX_URL, PIP_CERT, PIP_PROXY, PIP_FIND_LINKS, pip.conf)."
    ),
}


def for_uv(listing: str, environment: dict[str, str], cache: Path) -> tuple[dict[str, str], list[str]]:
    """Give environment and options for uv with pip's settings, which ``pip config list`` printed as ``listing``."""
    made = {
        name: value for name, value in environment.items() if not name.startswith("UV_") or name in REACHING_AN_INDEX
    }
    found: dict[str, str] = {}
    # In pip, variables win over the section of a command, and that over the global one; what is empty is not set.
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)='(.+)'$", listing, re.MULTILINE):
            found[name] = value.replace("\\n", " ").strip()
    for name, variable in UV_VARIABLES.items():
        value = found.get(name, "")
        if name == "find-links":  # pip passes over a folder that is not there, uv ends
            value = ",".join(each for each in value.split() if "://" in each or Path(each).expanduser().is_dir())
        if value:
            made.setdefault(variable, value)
    # As pip does: of all indexes the version that the lock names; its hashes say which file may come.
    made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    made.setdefault("UV_CACHE_DIR", str(cache))
    without_index = found.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return made, ["--no-index"] if without_index else []


def remedy(said: str, home: Path) -> str:
    """Say what to do about an installer's output."""
    # ensurepip, for one, does not say that the disk is full.
    said += _NO_SPACE if shutil.disk_usage(home).free < _LITTLE_BYTES else ""
    fitting = (words for pattern, words in REMEDIES.items() if re.search(pattern, said))
    return next(fitting, "The whole output is in {home}/.venv/install.log. Start again when its cause is gone.").format(
        home=home
    )
