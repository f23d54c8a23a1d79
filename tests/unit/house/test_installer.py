"""What the installer makes of pip's settings, of an installer's last words, and of parts that nothing imports."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements"


@pytest.fixture
def index_access(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(REQUIREMENTS))
    return importlib.import_module("index_access")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(REQUIREMENTS))
    return importlib.import_module("install")


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="these tests do not run in a virtual environment")
def test_an_active_environment_is_not_made_anew_by_the_python_that_is_removed_with_it(install: ModuleType) -> None:
    assert not Path(install.base_python()).is_relative_to(sys.prefix)


def test_pip_s_settings_become_uv_s_variables(index_access: ModuleType, tmp_path: Path) -> None:
    listing = "\n".join(
        [
            "global.index-url='https://mirror.example/simple'",
            "global.timeout='60'",
            "install.timeout='90'",
            ":env:.cert='/etc/ca.pem'",
            f":env:.find-links='{tmp_path} /no/such/folder https://wheels.example/'",
            "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'",
            "global.trusted-host='mirror.example'",
            ":env:.no-index=''",
        ]
    )
    environment, options = index_access.for_uv(listing, {"PATH": "/bin", "SSL_CERT_FILE": "/mine.pem"}, tmp_path)
    assert environment == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_HTTP_TIMEOUT": "90",
        "SSL_CERT_FILE": "/mine.pem",
        "UV_FIND_LINKS": f"{tmp_path},https://wheels.example/",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INSECURE_HOST": "mirror.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_CACHE_DIR": str(tmp_path),
    }
    assert options == []
    assert index_access.for_uv("global.no-index='true'", {}, tmp_path)[1] == ["--no-index"]


def test_a_variable_of_uv_that_could_change_what_is_installed_is_left_out(index_access: ModuleType) -> None:
    given = {"UV_NO_VERIFY_HASHES": "1", "UV_OVERRIDE": "x.txt", "UV_DEFAULT_INDEX": "https://mine.example"}
    environment, _ = index_access.for_uv("global.index-url='https://other.example'", given, Path("/cache"))
    assert environment["UV_DEFAULT_INDEX"] == "https://mine.example"
    assert not environment.keys() & {"UV_NO_VERIFY_HASHES", "UV_OVERRIDE"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("failed to write to file `x`: No space left on device (os error 28)", "The disk is full"),
        ("[Errno 30] Read-only file system: '/x/.venv'", "read-only file system"),
        ("[Errno 13] Permission denied: '/x/.venv'", "You may not write to /x/.venv"),
        ("Hash mismatch for `tell==1.0`", "not what the lock names"),
        ("error: Request failed after 3 retries\n cause: error sending request for url", "No package index answered"),
        ("something else", "The whole output is in /x/.venv/install.log"),
    ],
)
def test_each_kind_of_failure_has_its_remedy(
    said: str, words: str, index_access: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    assert words in index_access.remedy(said, Path("/x"))


def test_a_disk_that_is_full_is_named_also_where_an_installer_does_not_say_it(
    index_access: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert "The disk is full" in index_access.remedy("Error: ensurepip returned non-zero exit status 1.", Path("/x"))


def test_only_unused_files_of_packages_are_removed(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    removed = [
        "scipy/stats/tests/test_x.py",
        "pyarrow/libarrow_flight.so.2600",
        "pyarrow/_s3fs.so",
        "pandas/tests/a.py",
    ]
    kept = [
        "scipy/stats/x.py",
        "pyarrow/libarrow.so.2600",
        "pyarrow/lib.so",
        "pandas/_testing/a.py",
        "other/tests/a.py",
    ]
    for name in (*removed, *kept):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).touch()
    monkeypatch.setattr(install, "VENV", tmp_path)
    install.leave_out_what_is_never_used()
    assert sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()) == sorted(kept)
