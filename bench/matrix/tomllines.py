"""On which line of a TOML text a value stands: ``tomllib`` reads values, but does not keep their places."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|.)*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
_TOKEN = re.compile(
    r"(?P<header>^[ \t]*\[{1,2}[ \t]*(?P<table>[\w.-]+)[ \t]*\]{1,2}[ \t]*$)"
    r"|(?P<key>[\w-]+(?:\.[\w-]+)*)[ \t]*="
    r"|(?P<mark>[{}\[\],])",
    re.MULTILINE,
)


class LineIndex:
    """Where each key of a TOML text stands. Keys in quotes are not indexed: their table's line is given for them."""

    def __init__(self, text: str) -> None:
        """``text`` must be TOML that ``tomllib`` has read without an error."""
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # how many [[tables]] of this name there were so far
        self._base: Path = ()
        self._open: list[tuple[Path, bool]] = []  # inline tables and arrays not closed yet; True: an array
        self._latest: Path = ()
        plain = _STRING_OR_COMMENT.sub(_blank, text)
        line, counted = 1, 0
        for token in _TOKEN.finditer(plain):
            start = token.start(token.lastgroup or 0)
            line += plain.count("\n", counted, start)
            counted = start
            self._take(token, line)

    def line_of(self, path: Path) -> int:
        """Return the line (from 1) of the value at ``path``, or of the nearest thing around it; 1 if there is none.

        ``path`` is made of keys and of places in arrays: ``("cells", 1, "axes", "partitions")``.
        """
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 1

    def _take(self, token: re.Match[str], line: int) -> None:
        if token["header"] and not self._open:
            self._enter_table(token["table"].split("."), line, is_array=token["header"].lstrip().startswith("[["))
        elif token["key"]:
            around = self._open[-1][0] if self._open else self._base
            self._latest = (*around, *token["key"].split("."))
            self._lines.setdefault(self._latest, line)
        elif token["mark"] in ("{", "["):
            self._open.append((self._latest, token["mark"] == "["))
            if token["mark"] == "[":
                self._latest = (*self._latest, 0)
        elif token["mark"] in ("}", "]") and self._open:
            self._latest = self._open.pop()[0]
        elif token["mark"] == "," and self._open and self._open[-1][1]:
            array = self._open[-1][0]
            place = self._latest[len(array)]
            self._latest = (*array, int(place) + 1)

    def _enter_table(self, names: list[str], line: int, *, is_array: bool) -> None:
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if is_array and position == len(names) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
                self._lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        self._base = path
        self._lines.setdefault(path, line)


def _blank(match: re.Match[str]) -> str:
    """Spaces in place of a string or a comment: every other character keeps its offset."""
    return re.sub(r"[^\n]", " ", match.group())
