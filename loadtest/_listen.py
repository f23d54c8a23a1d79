"""Locust's event hooks, which carry no types, behind one typed function."""

from collections.abc import Callable
from typing import Any


def listen(hook: Any, listener: Callable[..., None]) -> None:
    """Have ``listener`` called, with the keywords that Locust documents, whenever ``hook`` fires."""
    hook.add_listener(listener)
