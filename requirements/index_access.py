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
# Messages of installers and the system, and what to do about each. The first that fits is shown.
REMEDIES = {
    _FULL: "The disk is full: free about 800 MB where {home} is, and start again.",
    _READ_ONLY: "{home} is on a read-only file system: clone Tidemark into a folder that you may write to.",
    _FORBIDDEN: "You may not write to {home}/.venv: clone Tidemark into a folder of your own.",
    _CAME_OTHER: (
        "A package is not what the lock names, so it was not installed. Ask the owner of your package mirror; if you "
        "changed a lock, write it with ./tidemark lock."
    ),
    _NO_ANSWER: (
        "No package index answered. Check the network, then start again: finished downloads are kept. pip's settings "
        "apply here too (PIP_INDEX_URL, PIP_CERT, PIP_PROXY, PIP_FIND_LINKS, pip.conf)."
    ),
}


def for_uv(listing: str, environment: dict[str, str], cache: Path) -> tuple[dict[str, str], list[str]]:
    """Return environment and options for uv with pip's settings; ``listing`` is the output of ``pip config list``."""
    made = {
        name: value for name, value in environment.items() if not name.startswith("UV_") or name in REACHING_AN_INDEX
    }
    found: dict[str, str] = {}
    # In pip, variables win over a command's section, and that wins over the global one; an empty value is not set.
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)='(.+)'$", listing, re.MULTILINE):
            found[name] = value.replace("\\n", " ").strip()
    for name, variable in UV_VARIABLES.items():
        value = found.get(name, "")
        if name == "find-links":  # pip skips a folder that does not exist, uv fails
            value = ",".join(each for each in value.split() if "://" in each or Path(each).expanduser().is_dir())
        if value:
            made.setdefault(variable, value)
    # As pip does: take the version that the lock names from any index; its hashes say which file is right.
    made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    made.setdefault("UV_CACHE_DIR", str(cache))
    without_index = found.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return made, ["--no-index"] if without_index else []


def remedy(said: str, home: Path) -> str:
    """Return what to do about an installer's output."""
    # ensurepip, for one, does not say that the disk is full.
    said += _NO_SPACE if shutil.disk_usage(home).free < _LITTLE_BYTES else ""
    fitting = (words for pattern, words in REMEDIES.items() if re.search(pattern, said))
    return next(fitting, "The whole output is in {home}/.venv/install.log. Fix the cause, then start again.").format(
        home=home
    )
