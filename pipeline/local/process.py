"""Child processes that end when they should, and never outlive this one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import MissingPartError, ProcessFailedError

_GUARD = Path(__file__).with_name("guard.py")
_START_TIMEOUT_S = 20.0
_KILL_TIMEOUT_S = 10.0
_POLL_S = 0.02
_TAIL_LINES = 15


class ChildProcess:
    """One command as a child process, its output appended to a file.

    A guard process stands between (see :mod:`pipeline.local.guard`): should this process die, of
    SIGKILL even, the guard ends the command and all that the command started. Ctrl-C in a terminal
    reaches this process alone, which ends its children in the order that it likes.

    Thread-safe. Once it has ended it may be started again: same command, same log.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        scratch: Sequence[Path] = (),
        niceness: int = 0,
    ) -> None:
        """``env`` None: this process's own. ``scratch``: folders removed if this process dies first.

        ``niceness``: added to this process's own; above 0 the command lets others go first.
        """
        self.name = name
        self.log_path = log_path
        self._argv = [str(each) for each in argv]
        self._env = env
        self._cwd = cwd
        self._scratch = [str(each) for each in scratch]
        self._niceness = niceness
        self._lock = threading.RLock()
        self._guard: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._received = b""
        self._pid = 0
        self._returncode: int | None = None
        self._log_start = 0

    def start(self) -> Self:
        """Start the command; it runs when this returns, which says nothing about it being ready.

        Raises:
            MissingPartError: there is no such program, or it may not be run.
            ProcessFailedError: it runs already, or the guard did not answer.
        """
        with self._lock:
            if self._channel is not None and self.running():
                raise ProcessFailedError(f"{self.name} runs already, with process id {self._pid}")
            self._spawn()
            report = self._next_line(_START_TIMEOUT_S)
            word, _, rest = report.partition(" ")
            if word == "started":
                self._pid = int(rest)
                return self
            self._release()
            if word == "failed":
                raise MissingPartError(f"{self.name} cannot be started with {self._argv[0]}: {rest}")
            raise ProcessFailedError(f"{self.name} was not started: its guard said {report!r}; see {self.log_path}")

    @property
    def pid(self) -> int:
        """The command's own process id, that of its process group too; 0 before the first start."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """None as long as it runs, then its exit code; minus the signal's number if a signal ended it."""
        self._listen()
        return self._returncode

    @property
    def ending(self) -> str:
        """How it ended, for messages: ``ended with exit code 1``."""
        code = self.returncode
        killed = " (killed; where memory is short, the system does that)" if code == -signal.SIGKILL else ""
        return f"ended with exit code {code}{killed}"

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._pid != 0 and self.returncode is None

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it has ended; return its exit code, or None if it still runs after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while self.running():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(left_s, _POLL_S))  # not within the lock: others may want to signal
        return self._returncode

    def wait_for_line(self, text: str, timeout_s: float) -> str:
        """Wait for a whole line of this start's output that holds ``text``, and return that line.

        Raises:
            ProcessFailedError: it ended before, or ``timeout_s`` passed; the message shows its last lines.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            alive = self.running()  # asked first: what it wrote before it ended is seen below
            for line in self.output().splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line.rstrip("\n")
            if not alive:
                raise ProcessFailedError(f"{self.name} {self.ending}; {self.last_words()}")
            if time.monotonic() > deadline:
                message = f"{self.name} did not say {text!r} within {timeout_s:g} s; {self.last_words()}"
                raise ProcessFailedError(message)
            time.sleep(_POLL_S)

    def send_signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command, or to its whole process group; no effect once it has ended."""
        with self._lock:
            if self._channel is not None and self.running():
                try:
                    self._channel.sendall(f"signal {int(number)} {'group' if group else 'child'}\n".encode())
                except OSError:
                    self._listen()  # the guard is gone: this notices, and ends the group

    def kill(self) -> int | None:
        """Kill the command and its whole group at once, as ``kill -9`` does, and wait until it is gone."""
        self.send_signal(signal.SIGKILL, group=True)
        if self.wait(_KILL_TIMEOUT_S) is None and self._pid:
            self._lose_guard()
        return self._returncode

    def stop(self, grace_s: float = 15.0) -> int | None:
        """Ask it to end (SIGTERM), kill it after ``grace_s``; return its exit code. May be called twice."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a stopped process would not hear the first one
        if self.wait(grace_s) is None and self._pid:
            self.kill()
        return self._returncode

    def last_words(self) -> str:
        """Return the last lines of its output and where the rest of it is, for messages."""
        lines = self.output().splitlines()[-_TAIL_LINES:]
        return "\n".join([f"see {self.log_path}" + (", which ends with" if lines else ""), *lines])

    def output(self) -> str:
        """Return what it printed since it was last started."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        self._returncode, self._pid, self._received = None, 0, b""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        # Isolated and without site-packages: nothing of the user's Python set-up reaches the guard,
        # while the command behind it gets the whole environment.
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(theirs.fileno())]
        with theirs, self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._guard = subprocess.Popen(
                [*guard, str(self._niceness), str(len(self._scratch)), *self._scratch, *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._channel = ours

    def _listen(self) -> None:
        """Take in what the guard has reported."""
        with self._lock:
            if self._channel is None or self._returncode is not None or not self._pid:
                return
            line = self._next_line(0)
            word, _, rest = line.partition(" ")
            if word == "exited":
                self._returncode = int(rest)
                self._release()
            elif word == "gone":
                self._lose_guard()

    def _next_line(self, timeout_s: float) -> str:
        """Return the guard's next line, ``gone`` if there is no guard, nothing after ``timeout_s``."""
        if self._channel is None:
            return "gone"
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            self._channel.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                received = self._channel.recv(4096)
            except (TimeoutError, BlockingIOError):
                return ""
            except ConnectionError:
                received = b""
            if not received:
                return "gone"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()

    def _lose_guard(self) -> None:
        """The guard was killed or hangs: do its work from here."""
        with self._lock:
            if self._returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):  # Linux has killed it together with its guard
                os.killpg(self._pid, signal.SIGKILL)
            self._returncode = -signal.SIGKILL
            self._release()

    def _release(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._guard is not None:
            try:
                self._guard.wait(_KILL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
            self._guard = None
