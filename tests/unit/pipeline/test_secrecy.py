"""No password, token or key is shown: not by a setting, an error, a command or a bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiments import variants
from bench.run import manifest
from pipeline import secrecy
from pipeline.errors import SettingError, UsageError
from pipeline.settings import Mongo, Settings, load

ROOT = Path(__file__).resolve().parents[3]
SECRET = "SeC/rEt1"  # noqa: S105  the one of the tests
# Each holds the secret, whole or in pieces; the first four cannot be taken apart.
UNCLEAR = [
    f"mongodb://user:{SECRET}@host/",
    "mongodb://user:SeC?rEt1=x@host/",
    "mongodb://user:p@SeCrEt1@host/",
    "mongodb://user:p:SeCrEt1@host/",
    "user:SeCrEt1@host",
    "mongodb:/user:SeCrEt1@host",
]
CLEAR = [
    "mongodb://user:SeC%2FrEt1@127.0.0.1:9/",
    "mongodb://127.0.0.1:9/?authMechanismProperties=AWS_SESSION_TOKEN:SeCrEt1",
    "mongodb://127.0.0.1:9/?tls=true&tlsCertificateKeyFile=/no/file.pem&tlsCertificateKeyFilePassword=SeCrEt1",
    "mongodb://127.0.0.1:9/?proxyPassword=SeCrEt1&proxyUsername=me&proxyHost=h",
]


def holds_the_secret(text: str) -> bool:
    return any(part in text for part in ("rEt1", "SeC/", "SeC%", "SeC?"))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://localhost:27017/?directConnection=true", "mongodb://localhost:27017/?directConnection=true"),
        ("mongodb://me:secret@a:1,b:2/db?replicaSet=x&x=y", "mongodb://me:***@a:1,b:2/db?replicaSet=x&x=***"),
        ("mongodb+srv://me@host/db", "mongodb+srv://me@host/db"),
        ("mongodb://:secret@[::1]:27017/", "mongodb://:***@[::1]:27017/"),
        *((uri, "mongodb://***") for uri in UNCLEAR),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    assert Mongo(uri=uri).shown_uri == shown


@pytest.mark.parametrize("uri", UNCLEAR)
def test_a_uri_with_an_unclear_password_is_refused_with_how_to_write_it(uri: str) -> None:
    with pytest.raises(SettingError, match="percent-encode each of") as caught:
        load({"PIPELINE_MONGO_URI": uri})
    assert not holds_the_secret(str(caught.value))


@pytest.mark.parametrize(
    ("command", "uri"),
    [
        *((command, UNCLEAR[0]) for command in ("check", "init", "up", "api", "worker", "find", "dead-letters list")),
        *(("check --no-api", uri) for uri in CLEAR),
        *((command, CLEAR[2]) for command in ("init", "worker", "find")),
    ],
)
def test_no_command_prints_it(command: str, uri: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *command.split()],
        cwd=ROOT,
        env={
            **os.environ,
            "PIPELINE_MONGO_URI": uri,
            "PIPELINE_MONGO_TIMEOUT_MS": "200",
            "PIPELINE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "PIPELINE_KAFKA_REQUEST_TIMEOUT_MS": "200",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert not holds_the_secret(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "environment",
    [
        {"PIPELINE_MONGO_PASSWORD": SECRET},
        {"PIPELINE_MONGO_URL": f"mongodb://me:{SECRET}@h"},
        {"PIPELINE_KAFKA_SASL_PASSWORD": SECRET},
        {"PIPELINE_SASL": SECRET},
        {"PIPELINE_KAFKA_BOOTSTRAP_SERVERS": f"me:{SECRET}@h:9092"},
    ],
)
def test_a_misplaced_secret_is_not_repeated(environment: dict[str, str]) -> None:
    with pytest.raises(SettingError) as caught:
        load(environment)
    assert not holds_the_secret(str(caught.value))


def test_an_unknown_table_of_a_file_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'[kafka.sasl]\npassword = "{SECRET}"\n[credentials]\npassword = "{SECRET}"\n', encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        load({"PIPELINE_SETTINGS_FILE": str(path)})
    assert not holds_the_secret(str(caught.value))


def test_a_bundle_names_servers_without_secrets() -> None:
    where = manifest.where(Settings(mongo=Mongo(uri="mongodb://me:SeC%2FrEt1@h:1/")))
    assert "mongodb://me:***@h:1/" in where


@pytest.mark.parametrize(
    "given",
    [f"PIPELINE_MONGO_URI=mongodb://me:{SECRET}@h", f"PIPELINE_API_WRITE_KEYS={SECRET}", f"MONGO_PASSWORD={SECRET}"],
)
def test_a_secret_cannot_be_a_side_of_a_comparison_and_is_not_repeated(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        variants.read("base", given)
    assert not holds_the_secret(str(caught.value))


def test_what_a_library_says_stays_where_it_holds_no_secret() -> None:
    uri = "mongodb://me:SeC%2FrEt1@h/?foo=tok12345"
    assert secrecy.reason(ValueError("Authentication failed."), uri) == "Authentication failed."
    assert secrecy.reason(ValueError("bad value tok12345 for foo"), uri) == "ValueError"
