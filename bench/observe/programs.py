"""Which other programs use this machine's CPU: by name, never with the values of their options."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

import psutil

_LONGEST_NAME = 40
_RUNS_OTHERS = re.compile(r"^(python|pypy|node|ruby|perl|php|java|bash|dash|sh|zsh|Rscript)[\d.]*$")
_NAMES_WHAT_RUNS = ("-m", "-jar")
_HAS_A_VALUE = ("-cp", "-classpath", "--class-path", "-W", "-X")
_IS_CODE = ("-c", "-e")


class Programs:
    """CPU seconds of each program that is not ours, since the first look; all processes of one name together."""

    def __init__(self) -> None:
        """Start without a first look."""
        self._cpu_s: dict[int, float] | None = None
        self._names: dict[int, str] = {}
        self._used_s: dict[str, float] = {}

    def look(self, ours: Collection[int]) -> Mapping[str, float]:
        """Read every process of the machine but ``ours``; return what each program has used since the first look."""
        first, before = self._cpu_s is None, self._cpu_s or {}
        now: dict[int, float] = {}
        for process in psutil.process_iter():
            if process.pid in ours:
                continue
            try:
                times = process.cpu_times()
                now[process.pid] = cpu_s = times.user + times.system
                known_s = before.get(process.pid, cpu_s if first else 0.0)
                if known_s > cpu_s or process.pid not in before:  # another process with this id, or a new one
                    self._names.pop(process.pid, None)
                grown_s = cpu_s - known_s if cpu_s >= known_s else cpu_s
                if grown_s > 0:
                    name = self._names.get(process.pid) or name_of(process.name(), process.cmdline())
                    self._names[process.pid] = name
                    self._used_s[name] = self._used_s.get(name, 0.0) + grown_s
            except psutil.Error:  # it has ended, or is not ours to look at
                continue
        self._cpu_s = now
        self._names = {pid: name for pid, name in self._names.items() if pid in now}
        return dict(self._used_s)


def name_of(name: str, command: Sequence[str]) -> str:
    """Return a program's name; of an interpreter also what it runs, without its folder and without any argument."""
    shown = name
    if _RUNS_OTHERS.match(name):
        what = _what_runs(command[1:])
        shown = f"{name} {what}" if what else name
    return "".join(each if each.isprintable() else "?" for each in shown)[:_LONGEST_NAME]


def _what_runs(arguments: Sequence[str]) -> str:
    left = iter(arguments)
    for argument in left:
        if argument in _NAMES_WHAT_RUNS:
            return f"{argument} {PurePath(next(left, '')).name}"
        if argument in _IS_CODE:
            return argument
        if argument in _HAS_A_VALUE:
            next(left, None)
        elif not argument.startswith("-"):
            return PurePath(argument).name
    return ""
