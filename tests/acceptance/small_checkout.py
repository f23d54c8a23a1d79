"""A small checkout of ./tidemark whose packages tell how they were called, and locks of small wheels for it."""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

LOCKS = "requirements"
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("cat", "cmp", "cut", "dirname", "grep", "readlink", "sed")

TELL = """
import json, os, sys

def tell(name, code=0):
    print(json.dumps({"name": name, "argv": sys.argv[1:], "cwd": os.getcwd(), "version": VERSION}), flush=True)
    raise SystemExit(code)
"""
BENCH = """
import os
from tell import tell

print("pid", os.getpid())
tell("bench", int(os.environ["BENCH_EXIT"]))
"""


def write_tell(folder: Path, version: str = "1.0") -> Path:
    """A wheel with `tell`: what the small checkout's packages need."""
    return write_wheel(folder, "tell", version, {"tell.py": f"VERSION = {version!r}\n{TELL}"})


def write_tools(folder: Path) -> Path:
    """A wheel with a `nox` that tells how it was called: the developer's tools."""
    files = {"nox/__init__.py": "", "nox/__main__.py": "from tell import tell\ntell('nox')\n"}
    return write_wheel(folder, "tools", "1.0", files)


def write_wheel(folder: Path, name: str, version: str, contents: dict[str, str]) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        **contents,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{file},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


@functools.cache
def wheel_of_uv() -> Path:
    """The uv that is installed here, as the wheel that it came in."""
    uv = metadata.distribution("uv")
    folder = Path(tempfile.mkdtemp(prefix="tidemark-uv-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"uv-{uv.version}-py3-none-any.whl"
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for file in uv.files or ():
            content = Path(str(uv.locate_file(file)))
            if file.suffix == ".pyc" or file.name in ("INSTALLER", "RECORD", "REQUESTED"):
                continue
            name = f"uv-{uv.version}.data/scripts/{file.name}" if ".." in file.parts else str(file)
            wheel.write(content, name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.read_bytes()).digest()).decode().rstrip("=")
            record += f"{name},sha256={digest},{content.stat().st_size}\n"
        wheel.writestr(f"uv-{uv.version}.dist-info/RECORD", record)
    return path


def pin(wheel: Path, digest: str = "") -> str:
    """The lines of a lock that name this file."""
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{wheel.name.partition('-')[0]} @ {wheel.as_uri()} \\\n    --hash=sha256:{digest}\n"


def write_lock(checkout: Path, wheel: Path, digest: str = "", uv: Path | None = None) -> None:
    locks = checkout / LOCKS
    (locks / "tidemark.txt").write_text(pin(wheel, digest), encoding="utf-8")
    (locks / "developer.txt").write_text(pin(wheel, digest) + pin(write_tools(wheel.parent)), encoding="utf-8")
    (locks / "uv.txt").write_text(pin(uv or wheel_of_uv()), encoding="utf-8")


def make_checkout(folder: Path) -> Path:
    checkout = folder / "a small checkout"
    for package, text in {
        "bench": BENCH,
        "bench/selftest": "from tell import tell\ntell('bench.selftest')\n",
        "reports": "from tell import tell\ntell('reports')\n",
        "pipeline": "from tell import tell\ntell('pipeline')\n",
        "loadtest": "from tell import tell\ntell('loadtest')\n",
    }.items():
        (checkout / package).mkdir(parents=True)
        (checkout / package / "__init__.py").touch()
        (checkout / package / "__main__.py").write_text(text, encoding="utf-8")
    (checkout / LOCKS).mkdir()
    for name in ("tidemark", "noxfile.py", "requirements/install.py", "requirements/index_access.py"):
        shutil.copy2(ROOT / name, checkout / name)
    write_lock(checkout, write_tell(folder))
    return checkout


def run(
    command: Path | str, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(command), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**environment, **variables},
    )


def calls_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The calls that the small packages reported, in order."""
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def path_with(folder: Path, **pythons: str) -> str:
    """A PATH that holds the tools of the wrapper, and of Pythons these scripts only."""
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    for name, script in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)
