"""Every ``./tidemark ...`` that help, messages, reports and documents print, as the words that a shell would pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.small_checkout import ROOT

PLACES = ("*.md", "docs/*.md", "bench/**/*", "loadtest/**/*", "pipeline/**/*", "reports/*", "reports/[!r]*/**/*")
OWN = ("tidemark", "noxfile.py", "requirements/index_access.py", ".ci/run")
SUFFIXES = {".py", ".md", ".toml", ".j2", ""}
# What stands for a value in the text, and a value.
VALUES = {
    "EVENTS_PER_S": "20000",
    "OBJECTIVE": "p99 delivery latency <= 1 s",
    "COMMAND": "up",
    "N": "3",
    "...": "",
}


def files() -> list[Path]:
    found = {path for place in PLACES for path in ROOT.glob(place)} | {ROOT / name for name in OWN}
    return sorted(path for path in found if path.is_file() and path.suffix in SUFFIXES)


def printed() -> list[tuple[str, tuple[str, ...]]]:
    """Where each command stands, and its words after ``./tidemark``; each once."""
    found: dict[tuple[str, ...], str] = {}
    for path in files():
        for number, text in commands_in(path.read_text(encoding="utf-8")):
            found.setdefault(words_of(text), f"{path.relative_to(ROOT)}:{number}")
    return sorted((where, words) for words, where in found.items())


def commands_in(text: str) -> Iterator[tuple[int, str]]:
    """Return the number of the line and the rest of it after each ``./tidemark``, as far as that is the command."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        for found in re.finditer(r"\./tidemark(?![\w/-])", line):
            before, rest = line[: found.start()], line[found.end() :]
            if rest.startswith(" %s"):  # printf's, of any command
                continue
            if before.endswith('"""'):
                rest = rest.partition('"""')[0]
            elif before.endswith("`") or before.count("`") % 2:
                # Between backticks it may go on in the next line.
                following = "" if "`" in rest else " " + "".join(lines[number : number + 1]).strip()
                rest = (rest + following).partition("`")[0]
            elif re.fullmatch(r"\s*(?:[A-Z_]+=\S+ )*", before) or before.endswith("&& "):  # a line of a code block
                rest = re.split(r" {2,}| #| \\$", rest)[0]
            else:  # in the middle of a message
                rest = re.split(r"[\"<;)](?![^{]*\})|[.,:] |\.$|:$| for | does| makes | adds ", rest)[0]
            yield number, rest


def words_of(text: str) -> tuple[str, ...]:
    """Split as a shell does; what code puts in is one word."""
    plain = re.sub(r"\{[a-z_][^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "VALUE", re.sub(r"(?<=\w)\.$", "", text.strip()))
    plain = re.sub(r"\[[^\]]*\]", "", plain)
    return tuple(value for word in shlex.split(plain) if (value := VALUES.get(word, word)))
