"""The observer hook: an object of somebody else's that a process of the pipeline calls at a few moments.

``PIPELINE_OBSERVER=module:factory`` names a function. It takes the role of the process, ``api`` or ``worker``, and
returns an :class:`Observer`. Empty, the default: there is none, and nothing is called. The pipeline imports no
observer: whoever measures it brings one along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

from pipeline.errors import SettingError

VARIABLE = "PIPELINE_OBSERVER"


class Observer:
    """Does nothing at every moment: an observer overrides what it wants to see.

    It is made before the process forks, if it does, and before there is an event loop. Its methods run on the loop, in
    the middle of the work: they have to be short. What they raise is an error of the process.
    """

    async def before_join(self, stopping: Callable[[], bool]) -> None:
        """Called in a worker that is about to join its group, which waits for the return; ``stopping``: end it soon."""

    def assigned(self, partitions: Mapping[str, Sequence[int]]) -> None:
        """Called at every assignment of a worker, with the partitions by topic, maybe none."""

    def stored(
        self, fetched_ns: int, acknowledged_ns: int, identifiers: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Called when a write was acknowledged: the documents with these ``identifiers`` are stored.

        ``timestamps_ms``: of their records, in Kafka. Both moments are ``time.monotonic_ns()``. A document that was
        stored before with the same content counts, a dead letter does not.
        """

    def woke(self, now_ns: int, lag_ns: int) -> None:
        """Called twenty times a second: the event loop woke ``lag_ns`` later than it should have."""

    def close(self) -> None:
        """Called last."""


def load(name: str, role: str) -> Observer | None:
    """Make the observer that the setting names; None where it is empty.

    Raises:
        SettingError: there is no such module or function in it, or the function did not return an observer.
    """
    if not name:
        return None
    module_name, _, factory_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module that is there may fail in any way when it is imported
        remedy = f"the module {module_name} cannot be imported ({_words(error)}): name one on PYTHONPATH"
        raise SettingError(VARIABLE, name, remedy) from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        remedy = f"{module_name} has no function {factory_name}: write module:factory"
        raise SettingError(VARIABLE, name, remedy)
    try:
        found = factory(role)
    except Exception as error:  # somebody else's code
        remedy = f"{factory_name}({role!r}) failed ({_words(error)}): mend it, or set no observer"
        raise SettingError(VARIABLE, name, remedy) from error
    if not isinstance(found, Observer):
        remedy = f"{factory_name}({role!r}) gave {type(found).__name__}, and has to give a pipeline.observer.Observer"
        raise SettingError(VARIABLE, name, remedy)
    return found


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
