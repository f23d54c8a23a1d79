"""What the local broker is given."""

from __future__ import annotations

import re

from pipeline.local.kafka import new_cluster_id


def test_a_cluster_id_is_no_option_of_the_tool_that_takes_it() -> None:
    ids = {new_cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{21}", each) for each in ids)
