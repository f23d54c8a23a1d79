"""What a run says of itself, and whether it may be gone on with here."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bench.matrix import matrix
from bench.observe import environment
from bench.observe.environment import Environment
from bench.run import manifest, plan
from bundle import writing
from bundle.errors import BundleError
from bundle.manifest import Manifest

HERE = structs.replace(environment.describe(), git_revision="a" * 40, git_dirty=False)


def began(here: Environment) -> Manifest:
    quick = matrix.load("quick")
    return manifest.begin(
        quick,
        plan.order(quick),
        run_id="one",
        environment=here,
        servers="local",
        command="./tidemark bench quick",
        started_at=writing.now(),
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"git_revision": "b" * 40}, "one began with the revision aaaa"),
        ({"git_dirty": True}, "one began in a clean checkout, and this one has changes"),
        ({"hardware": structs.replace(HERE.hardware, cores=99)}, "one began with the hardware"),
    ],
)
def test_a_run_is_resumed_only_with_the_revision_and_hardware_that_it_began_with(
    changed: dict[str, Any], message: str
) -> None:
    manifest.expect_the_same(began(HERE), HERE)
    with pytest.raises(BundleError, match=message):
        manifest.expect_the_same(began(HERE), structs.replace(HERE, **changed))


def test_an_unknown_revision_does_not_prevent_a_resume() -> None:
    unknown = structs.replace(HERE, git_revision=None, git_dirty=None)
    manifest.expect_the_same(began(unknown), HERE)
    manifest.expect_the_same(began(HERE), unknown)
