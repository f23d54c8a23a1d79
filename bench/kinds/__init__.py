"""The kinds of cells: each is one module here, which holds all that the bench has to know of it.

A module with a ``KIND`` (:class:`bench.kinds.kind.Kind`) is found by being here. Its twin in ``reports/kinds`` says how
its cells are shown and compared. To add a kind is to add these two modules.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

from bench.cells.axes import AXES, Axis
from bench.kinds.kind import Kind
from pipeline.errors import UsageError


def every() -> tuple[Kind[Any], ...]:
    """Return all kinds, in the order in which they are named."""
    return tuple(_found().values())


def names() -> tuple[str, ...]:
    """Return the names of all kinds."""
    return tuple(_found())


def named(name: str) -> Kind[Any]:
    """Return the kind of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return _found()[name]
    except KeyError:
        known = ", ".join(map(repr, names()))
        raise UsageError(f"there is no kind of cell {name!r}: a cell's kind is one of {known}") from None


def axes() -> dict[str, Axis]:
    """Return all axes by name: those that kinds share, then those that single kinds add."""
    own = {name: axis for kind in every() for name, axis in kind.own_axes.items()}
    return AXES | own


def having(axis: str) -> tuple[str, ...]:
    """Return the names of the kinds that have an axis."""
    return tuple(kind.name for kind in every() if kind.has(axis))


@functools.cache
def _found() -> dict[str, Kind[Any]]:
    """Import every module of this folder; those that have a ``KIND`` are kinds."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: (kind.rank, kind.name))}
