"""How each kind of cell is shown and compared: one module a kind, the twin of that in ``bench/kinds``.

A module with a ``KIND`` (:class:`reports.kinds.kind.Kind`) is found by being here.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path

from bundle.errors import BundleError
from bundle.manifest import CellPlan
from reports.kinds.kind import Kind


def every() -> tuple[Kind, ...]:
    """Return all kinds, by their rank."""
    return tuple(_found().values())


def named(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        BundleError: there is none.
    """
    try:
        return _found()[name]
    except KeyError:
        known = ", ".join(_found())
        text = f"{name!r} is no kind of cell that this program knows ({known})"
        raise BundleError(
            f"{text}: use the Tidemark that measured the run (its git revision is in manifest.json)"
        ) from None


def expect_known(cells: Iterable[CellPlan], run: Path) -> None:
    """Refuse a run with cells of an unknown kind: nothing could be said of them.

    Raises:
        BundleError: it has such cells; the message names the run and the first of them.
    """
    for cell in cells:
        try:
            named(cell.kind)
        except BundleError as error:
            raise BundleError(f"{run / 'manifest.json'}, cell {cell.id}: {error}") from error


@functools.cache
def _found() -> dict[str, Kind]:
    """Import every module of this folder; those that have a ``KIND`` are kinds."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: (kind.rank, kind.name))}
