"""Collects what is wrong with a matrix, so that all of it is reported at once, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from bench.errors import MatrixError, Problem
from bench.matrix.tomllines import LineIndex, Path

LARGEST_NUMBER = 1e15  # of those with a decimal point


class Problems:
    """The problems found so far in one TOML text."""

    def __init__(self, source: str, text: str) -> None:
        """``source`` names the file in the message, ``text`` is what it holds."""
        self._source = source
        self._lines = LineIndex(text)
        self._found: dict[Problem, None] = {}  # in the order found, each once

    def add(self, path: Path, text: str) -> None:
        """Note that what stands at ``path`` is wrong; ``text`` says how and what to do."""
        self._found[Problem(self._lines.line_of(path), text)] = None

    def unknown(self, path: Path, name: str, known: Iterable[str]) -> None:
        """Note a name that is none of ``known``, with the nearest of them, or all where none is near."""
        names = tuple(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
        self.add(path, f"unknown name {name!r}; {hint}")

    def expect_finite(self, path: Path, value: object) -> None:
        """Add a problem for every number in ``value`` that is infinite, not a number, or too large to add up."""
        if isinstance(value, float) and not abs(value) <= LARGEST_NUMBER:
            named = next((each for each in reversed(path) if isinstance(each, str)), "a value")
            self.add(path, f"{named} = {value:g} cannot be used: write a number of at most {LARGEST_NUMBER:g}")
        if isinstance(value, Mapping | list):
            for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
                self.expect_finite((*path, key), each)

    def line_of(self, path: Path) -> int:
        """Return the line of what stands at ``path``, to refer to it in another problem's text."""
        return self._lines.line_of(path)

    def __len__(self) -> int:
        """How many were found so far."""
        return len(self._found)

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
            MatrixError: there is at least one problem.
        """
        if self._found:
            raise MatrixError(self._source, tuple(self._found))
