"""Runs one command and sees to it that the command never outlives the process that asked for it.

Run as a script of its own, ``python -I -S guard.py PARENT_PID CHANNEL_FD NICENESS COUNT SCRATCH... COMMAND...``, by
:class:`pipeline.local.process.ChildProcess`; it imports a few standard modules only, so that it
starts in some ten milliseconds. The channel is one end of a socket pair, lines of ASCII:

    to the parent     ``started PID`` | ``failed REASON``, and when the command has ended ``exited CODE``
    from the parent   ``signal NUMBER child|group``

The other end of the channel closes when the parent dies, whatever it dies of. Then, or when the
parent is seen to have changed (another process may hold a copy of its end), the command's process
group is asked to end, killed after a grace, and each SCRATCH (COUNT folders) is removed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

GRACE_S = 5.0
_PARENT_CHECK_S = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)


class Guard:
    """The life of one command: started, watched, ended."""

    def __init__(self, parent: int, channel: socket.socket) -> None:
        """``parent`` is the process id that must stay alive, ``channel`` our end of the pair."""
        self._parent = parent
        self._channel = channel
        self._requests = b""
        self._child = 0
        self._wakeup, wakeup_end = socket.socketpair()
        for end in (self._wakeup, wakeup_end):
            end.setblocking(False)
        self._wakeup_end = wakeup_end

    def start(self, command: list[str], niceness: int) -> bool:
        """Start ``command`` in a session of its own and inform the parent; False if it cannot be started."""
        signal.set_wakeup_fd(self._wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._signal(signal.SIGTERM, group=False))
        # Ctrl-C and the end of a terminal are the parent's to answer: it ends its children in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        die_with_parent = _death_signal_setter()
        failed, failed_end = os.pipe()
        guard = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            try:
                os.setsid()
                _be_nice(niceness)
                die_with_parent()
                if os.getppid() != guard:
                    os._exit(1)
                for number in _HANDLED:
                    signal.signal(number, signal.SIG_DFL)
                os.execvp(command[0], command)  # noqa: S606  no shell is what we want
            except OSError as error:
                os.write(failed_end, f"{error.strerror or error}".encode())
            finally:
                os._exit(127)
        os.close(failed_end)
        reason = os.read(failed, 1024)
        os.close(failed)
        if reason:
            os.waitpid(self._child, 0)
            self._report(f"failed {reason.decode(errors='replace')}")
            return False
        self._report(f"started {self._child}")
        return True

    def watch(self) -> bool:
        """Serve the parent until the command has ended (True) or the parent is gone (False)."""
        while True:
            readable, _, _ = select.select([self._channel, self._wakeup], [], [], _PARENT_CHECK_S)
            if self._wakeup in readable:
                self._wakeup.recv(4096)
            code = self._exit_code()
            if code is not None:
                self._report(f"exited {code}")
                return True
            if self._channel in readable and not self._serve():
                return False
            if os.getppid() != self._parent:
                return False

    def end(self) -> None:
        """End the command and all of its group: politely first, for at most :data:`GRACE_S`."""
        self._signal(signal.SIGTERM, group=True)
        self._signal(signal.SIGCONT, group=True)
        deadline = time.monotonic() + GRACE_S
        while self._exit_code() is None:
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL, group=True)
            time.sleep(0.02)

    def _serve(self) -> bool:
        """Do what the parent asks; False if it is gone."""
        try:
            received = self._channel.recv(4096)
        except OSError:
            return False
        *requests, self._requests = (self._requests + received).split(b"\n")
        for request in requests:
            _, number, target = request.split()
            self._signal(int(number), group=target == b"group")
        return bool(received)

    def _signal(self, number: int, *, group: bool) -> None:
        # The child is ours and not yet waited for, so its id cannot have gone to another process.
        if not self._child:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(self._child, number)
            else:
                os.kill(self._child, number)

    def _exit_code(self) -> int | None:
        """Return the command's exit code once it has ended (minus the signal's number, if one ended it)."""
        ended, status = os.waitpid(self._child, os.WNOHANG)
        if not ended:
            return None
        # What the command left behind in its group ends with it.
        self._signal(signal.SIGKILL, group=True)
        self._child = 0
        return os.waitstatus_to_exitcode(status)

    def _report(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the parent may be gone, which watch() finds out
            self._channel.sendall(line.encode() + b"\n")


def _be_nice(niceness: int) -> None:
    """Let others go first, also where Linux shares the processor among sessions and not among processes."""
    if niceness:
        os.nice(niceness)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as autogroup:  # noqa: PTH123  pathlib is slow to import
            autogroup.write(str(niceness))


def _death_signal_setter() -> Callable[[], object]:
    """Return what makes the kernel kill the calling process when this one dies; nothing where it cannot.

    The guard itself may be killed too. Linux alone has an answer to that.
    """
    if sys.platform != "linux":
        return lambda: None
    import ctypes  # noqa: PLC0415  Linux only, and before the fork, where an import is safe

    library = ctypes.CDLL(None, use_errno=True)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Run the guard; the exit code is of no meaning, the channel has reported everything."""
    parent, channel_fd, niceness, count, *rest = arguments
    scratch, command = rest[: int(count)], rest[int(count) :]
    channel = socket.socket(fileno=int(channel_fd))
    channel.set_inheritable(False)
    guard = Guard(int(parent), channel)
    if guard.start(command, int(niceness)) and not guard.watch():
        guard.end()
        if scratch:
            import shutil  # noqa: PLC0415  needed after the parent's death alone, and slow to import

            for folder in scratch:
                shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
