"""Make .venv from a lock, or bring it up to date: what ``./tidemark`` runs where .venv is missing or old.

    python3 -E -s requirements/install.py tidemark | developer

``tidemark.txt`` locks what the commands need, ``developer.txt`` also the developer's tools. pip
installs uv from ``uv.txt``, and uv installs the rest; if uv has no build for this platform, pip
installs all. A copy of each installed lock is in .venv, written last. Until .venv is complete,
downloads stay in ``.venv/cache``, so that an interruption loses none.

It imports only the standard library, so it runs under any Python that can make an environment.
"""
# ruff: noqa: T201  it talks to the person who started a command

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from index_access import for_uv, remedy

HOME = Path(__file__).resolve().parents[1]
LOCKS = HOME / "requirements"
VENV = HOME / ".venv"
PYTHON = VENV / "bin" / "python"
CACHE = VENV / "cache"
UNFINISHED = VENV / "unfinished"
LOG = VENV / "install.log"
DISK_MB = 800
EXIT_FAILED, EXIT_INTERRUPTED = 2, 130

# We never import these: tests, C and C++ sources, debugger maps, clients of services that we do not use.
NEVER_USED = (
    *("gevent/tests", "matplotlib/**/tests", "numpy/**/tests", "pandas/tests", "pyarrow/tests", "scipy/**/tests"),
    *("fontTools/**/*.c", "swagger_ui_bundle/vendor/*/*.map"),
    *("pyarrow/include", "pyarrow/src", "pyarrow/_pyarrow_cpp_tests*"),
    *("pyarrow/*arrow_flight*", "pyarrow/*python_flight*", "pyarrow/_flight*"),
    *("pyarrow/*arrow_s3*", "pyarrow/_s3fs*"),
    # Of plotly the dashboard serves plotly.min.js; nothing imports the rest, or what the rest imports.
    *("plotly/graph_objs", "plotly/validators", "plotly/labextension", "plotly/matplotlylib", "plotly/express"),
    *("plotly/figure_factory", "plotly/package_data/widgetbundle.js", "plotly/package_data/datasets", "narwhals"),
    "../../../share/jupyter/labextensions/jupyterlab-plotly",
)


class InstallError(Exception):
    """The environment could not be made; the message is the output that says why."""


def main(which: str) -> int:
    """Install what ``which`` locks into .venv; return the exit code."""
    try:
        with _alone() as lock:
            if not is_current(which):
                _install(which, lock)
    except KeyboardInterrupt:
        print("tidemark: interrupted; start again to continue", file=sys.stderr)
        return EXIT_INTERRUPTED
    except InstallError as error:
        print(
            f"{error}\ntidemark: the packages could not be installed.\ntidemark: {remedy(str(error), HOME)}",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except OSError as error:
        print(f"tidemark: .venv could not be made: {error}\ntidemark: {remedy(str(error), HOME)}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def is_current(which: str) -> bool:
    """Whether .venv holds what ``which`` locks."""
    return os.access(PYTHON, os.X_OK) and all(_installed(name) == _wanted(name) for name in _parts(which))


def _parts(which: str) -> tuple[str, ...]:
    return ("tidemark",) if which == "tidemark" else ("tidemark", which)


def _wanted(name: str) -> bytes:
    return (LOCKS / f"{name}.txt").read_bytes()


def _installed(name: str) -> bytes:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return (VENV / f"{name}.txt").read_bytes()
    return b""


@contextlib.contextmanager
def _alone() -> Iterator[int]:
    """Let only one installer at a time use .venv.

    The lock of flock(2) belongs to the open file, which the installers inherit: it is free when all
    of them have ended.
    """
    lock = os.open(LOCKS / "tidemark.txt", os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another tidemark is making .venv: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _install(which: str, lock: int) -> None:
    began_s = time.monotonic()
    again = _begin(which, lock)
    run = _Runner(lock)
    uv = _uv(run)
    source = LOCKS / f"{which}.txt"
    if uv:
        listing = run.quiet([PYTHON, "-m", "pip", "config", "list"])
        command: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--python",
            PYTHON,
            "--require-hashes",
            "--requirement",
            source,
        ]
        command += [f"--reinstall-package={name}" for name in again]
        environment, options = for_uv(listing, run.environment, CACHE / "uv-cache")
        run.shown([*command, *options], environment)
    else:
        print("  uv has no build for this platform: pip installs the packages, which takes some minutes", flush=True)
        force = ["--force-reinstall"] if again else []
        run.shown([*run.pip, "--require-hashes", "-r", source, *force], run.environment)
    leave_out_what_is_never_used()
    for name in _parts(which):
        (VENV / f"{name}.txt").write_bytes(_wanted(name))
    UNFINISHED.unlink(missing_ok=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    print(f"  .venv is ready after {time.monotonic() - began_s:.0f} s", flush=True)


def _begin(which: str, lock: int) -> list[str]:
    """Make .venv ready for an installation; return the packages that may be installed only in part."""
    again: list[str] = []
    if not _installed("tidemark") or not os.access(PYTHON, os.X_OK):
        print(f"making .venv with {_python()} (once; up to a minute, about {DISK_MB} MB on disk)", flush=True)
        _clear()
        (CACHE / "tmp").mkdir(parents=True, exist_ok=True)
        _Runner(lock).quiet([base_python(), "-m", "venv", VENV])
    elif _installed("tidemark") != _wanted("tidemark"):
        # It was complete: installing the difference is enough and disturbs no running program. If this is
        # interrupted, the next start makes .venv again.
        print(f"bringing .venv up to date with requirements/{which}.txt", flush=True)
        for name in ("developer", "tidemark"):
            (VENV / f"{name}.txt").unlink(missing_ok=True)
    else:
        print("adding the developer's tools to .venv (once)", flush=True)
        if UNFINISHED.exists():
            again = sorted(set(_names("developer")) - set(_names("tidemark")))
    UNFINISHED.touch()
    (CACHE / "tmp").mkdir(parents=True, exist_ok=True)
    return again


def _clear() -> None:
    """Remove everything in .venv except downloads."""
    for each in VENV.iterdir() if VENV.is_dir() else ():
        if each.is_dir() and not each.is_symlink():
            if each != CACHE:
                shutil.rmtree(each)
        else:
            each.unlink()


def _uv(run: _Runner) -> Path | None:
    """Return a uv that runs here, downloaded if necessary; None if there is none for this platform."""
    fetched = CACHE / "uv"
    for path in (VENV / "bin" / "uv", fetched / "bin" / "uv"):
        if path.exists() and run.works([path, "--version"]):
            return path
    shutil.rmtree(fetched, ignore_errors=True)
    options: list[str | Path] = ["--target", fetched, "--no-deps", "--only-binary=:all:", "--retries=2"]
    try:
        run.quiet([*run.pip, *options, "--require-hashes", "--requirement", LOCKS / "uv.txt"])
    except InstallError as error:
        # pip prints the same for an index that it cannot reach, but after a warning.
        if "No matching distribution" in str(error) and not re.search("WARNING: Retrying|Could not fetch", str(error)):
            return None
        raise
    path = fetched / "bin" / "uv"
    return path if path.exists() and run.works([path, "--version"]) else None


def leave_out_what_is_never_used() -> None:
    """Remove the parts of packages that :data:`NEVER_USED` names: about 150 MB."""
    for site in VENV.glob("lib/python*/site-packages"):
        for pattern in NEVER_USED:
            for path in list(site.glob(pattern)):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _names(lock: str) -> list[str]:
    return re.findall(r"^([A-Za-z0-9][\w.-]*)", _wanted(lock).decode(), re.MULTILINE)


def base_python() -> str:
    """Return the Python that makes .venv: where .venv is active, ours is its own, and was removed with it."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _python() -> str:
    return "Python " + ".".join(str(part) for part in sys.version_info[:3])


class _Runner:
    """Runs installers: their output goes to :data:`LOG`, and into the error if one fails."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self.environment = {
            name: value
            for name, value in os.environ.items()
            # They would put packages elsewhere.
            if name not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")
        } | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(CACHE / "tmp")}
        self.pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--progress-bar=off", "--no-compile"]

    def works(self, command: list[str | Path]) -> bool:
        """Whether ``command`` runs and succeeds."""
        with contextlib.suppress(InstallError, OSError):
            self.quiet(command)
            return True
        return False

    def quiet(self, command: list[str | Path]) -> str:
        """Run ``command`` and return its output."""
        return "".join(self._lines(command, self.environment))

    def shown(self, command: list[str | Path], environment: dict[str, str]) -> None:
        """Run ``command``, with a line of progress for each package that takes long."""
        counted = 0
        for line in self._lines(command, environment):
            found = re.match(r"\s*(Downloaded|Collecting|Prepared|Installed) (.*?)(?:$| from )", line.rstrip())
            if not found:
                continue
            counted += found[1] in ("Downloaded", "Collecting")
            if found[1] in ("Prepared", "Installed"):
                self._say(f"  {found[1].lower()} {found[2]}", stays=True)
            elif found[1] == "Downloaded" or counted % 20 == 0 or sys.stdout.isatty():
                self._say(f"  fetched {re.split('[=;<> ]', found[2])[0]} ({counted})", stays=not sys.stdout.isatty())

    def _say(self, text: str, *, stays: bool) -> None:
        start = "\r\033[K" if sys.stdout.isatty() else ""
        print(start + text, end="\n" if stays else "", flush=True)

    def _lines(self, command: list[str | Path], environment: dict[str, str]) -> Iterator[str]:
        said: list[str] = []
        with (
            LOG.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                [str(each) for each in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=HOME,
                env=environment,
                pass_fds=[self._lock],
            ) as running,
        ):
            for line in running.stdout or ():
                said.append(line)
                log.write(line)
                yield line
        if running.returncode:
            raise InstallError("".join(said[-15:]).rstrip() or f"{command[0]} ended with code {running.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
