"""Several processes of the API under one parent: forked, watched, replaced when one dies, stopped together."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.ingest.service import serve_on
from pipeline.metrics import SharedMetrics
from pipeline.observer import Observer
from pipeline.settings import Settings

_CRASHED = 3
_PAUSE_S = 0.5
_MOST_DEATHS = 5
_WITHIN_S = 60.0
_GRACE_S = 3.0  # beyond the children's own time for shutting down

_log = logging.getLogger(__name__)


def supervise(
    listeners: Sequence[socket.socket],
    settings: Settings,
    shared: SharedMetrics,
    observer: Observer | None = None,
    *,
    on_ready: Callable[[], None],
) -> int:
    """Run a process on each of ``listeners`` until SIGTERM or SIGINT; return the exit code.

    A process that dies is replaced; when five have died within a minute, all are stopped and the
    exit code is 3. When this process dies, however it does, the others see their lifeline end and drain.
    """
    with _signals() as signals:
        return _Supervisor(listeners, settings, shared, observer, signals).run(on_ready)


class _Supervisor:
    """The children and the pipes to them. Runs before and without any event loop: a fork must find none."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        settings: Settings,
        shared: SharedMetrics,
        observer: Observer | None,
        signals: _Signals,
    ) -> None:
        self._listeners = listeners
        self._settings = settings
        self._shared = shared
        self._observer = observer
        self._signals = signals
        self._lifeline = os.pipe()
        self._ready = os.pipe()
        self._children: dict[int, int] = {}  # pid: which listener
        self._deaths: deque[float] = deque(maxlen=_MOST_DEATHS)

    def run(self, on_ready: Callable[[], None]) -> int:
        for place in range(len(self._listeners)):
            self._start(place)
        ready, announced, exit_code = 0, False, 0
        while not self._signals.stop:
            readable = self._signals.wait((self._ready[0],), _PAUSE_S)
            if readable:
                ready += len(os.read(self._ready[0], len(self._listeners)))
            if not announced and ready >= len(self._listeners):
                on_ready()
                announced = True
            if not self._replace_dead():
                exit_code = _CRASHED
                break
        return self._stop() or exit_code

    def _start(self, place: int) -> None:
        pid = os.fork()
        if pid:
            self._children[pid] = place
            return
        exit_code = _CRASHED
        try:
            self._be_child(place)
            exit_code = 0
        except BaseException:  # noqa: BLE001  # the process's edge: a fork must never return into the parent's code
            _log.exception("an API process failed")
        finally:
            os._exit(exit_code)

    def _be_child(self, place: int) -> None:
        self._signals.forget()
        os.close(self._lifeline[1])
        os.close(self._ready[0])
        for listener in self._listeners:
            if listener is not self._listeners[place]:
                listener.close()  # or it would stay open, and be answered by nobody, when its own process closes it
        serve_on(
            self._listeners[place],
            self._settings,
            self._shared,
            on_ready=lambda: _signal_ready(self._ready[1]),
            lifeline=self._lifeline[0],
            observer=self._observer,
        )
        if select.select([self._lifeline[0]], [], [], 0)[0]:
            self._shared.remove()  # the parent, whose task it was, is gone

    def _replace_dead(self) -> bool:
        """Start another process for each that died; False when that has happened too often."""
        for pid, status in self._collect():
            place = self._children.pop(pid)
            self._shared.forget(pid)
            now = time.monotonic()
            self._deaths.append(now)
            _log.error("API process %d ended (%s)", pid, _how(status))
            if len(self._deaths) == _MOST_DEATHS and now - self._deaths[0] < _WITHIN_S:
                _log.error("%d processes died within %g s: giving up", _MOST_DEATHS, _WITHIN_S)
                return False
            time.sleep(_PAUSE_S)
            self._start(place)
        return True

    def _stop(self) -> int:
        """Stop all children; 0 when each of them ended unasked and well."""
        for listener in self._listeners:
            listener.close()
        self._signal_all(signal.SIGTERM)
        exit_code = 0
        deadline = time.monotonic() + self._settings.api.shutdown_timeout_s + _GRACE_S
        while self._children and time.monotonic() < deadline:
            self._signals.wait((), _PAUSE_S)
            for pid, status in self._collect():
                del self._children[pid]
                if status != 0:
                    _log.error("API process %d ended (%s)", pid, _how(status))
                    exit_code = _CRASHED
        if self._children:
            _log.error("%d API processes did not end in time: killed", len(self._children))
            self._signal_all(signal.SIGKILL)
            exit_code = _CRASHED
            for pid in self._children:
                os.waitpid(pid, 0)
        return exit_code

    def _collect(self) -> list[tuple[int, int]]:
        """Return those of the children that have ended, with their status."""
        ended = (os.waitpid(pid, os.WNOHANG) for pid in tuple(self._children))
        return [(pid, status) for pid, status in ended if pid]

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._children:
            os.kill(pid, number)


class _Signals:
    """SIGTERM and SIGINT ask to stop; these and SIGCHLD end a wait."""

    def __init__(self) -> None:
        self.stop = False
        self._wakeup = socket.socketpair()
        for each in self._wakeup:
            each.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        self._before = {number: signal.signal(number, self._take) for number in numbers}

    def wait(self, descriptors: Sequence[int], timeout_s: float) -> bool:
        """Wait for a signal, or for one of ``descriptors`` to be readable; whether one of them is."""
        wakeup = self._wakeup[0]
        readable, _, _ = select.select([wakeup.fileno(), *descriptors], [], [], timeout_s)
        if wakeup.fileno() in readable:
            wakeup.recv(4096)
        return any(each in readable for each in descriptors)

    def forget(self) -> None:
        """Have things as they were before."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self.stop = True


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    try:
        yield signals
    finally:
        signals.forget()


def _signal_ready(ready: int) -> None:
    os.write(ready, b"r")


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit code {code}"
