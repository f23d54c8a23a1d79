"""The two sides of an interleaved comparison: the working tree, all of it fresh, a git revision, or one setting."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from bench import kinds
from bench.cells.cellspec import CellSpec
from bench.matrix import stackaxes
from bench.matrix.expansion import expand
from bench.matrix.matrix import MAX_REPEATS, Matrix, repeats
from bench.matrix.problems import Problems
from bench.targets import checkout
from bench.targets.cellsettings import settings_for
from bundle.manifest import Variant
from pipeline import settings as pipeline_settings
from pipeline.errors import MissingPartError, UsageError
from pipeline.settings import Api, Settings

HERE = "."
FRESH = "fresh"
"""The working tree, with all that a run reuses or makes ready ahead made anew for every repeat."""
_SAME_SERVERS = ("PIPELINE_KAFKA_BOOTSTRAP_SERVERS", "PIPELINE_MONGO_URI", "PIPELINE_LOCAL_")


def read(side: str, given: str) -> Variant:
    """Read a side as the user gave it: ``.``, ``fresh``, NAME=VALUE, a revision.

    NAME is an axis, a setting of the pipeline, or one of the servers that are started: ``kafka."num.io.threads"``.

    Raises:
        UsageError: it is none of them.
        MissingPartError: it may be a revision, and there is no git or no checkout.
    """
    if given in (HERE, FRESH):
        return Variant(side, given)
    name, equals, value = given.partition("=")
    if not equals:
        return Variant(side, given, git_revision=_revision(given))
    if name.startswith(_SAME_SERVERS):
        raise UsageError(f"{name} cannot be compared: both sides run on the same servers")
    if name == pipeline_settings.OBSERVER:
        raise UsageError(f"{name} cannot be compared: the bench sets it, to see what workers store")
    if name in pipeline_settings.SECRET_VARIABLES:
        raise UsageError(f"{name} cannot be compared: its value is a secret, and anyone may read a run's folder")
    if name == "offered_load":
        raise UsageError(f"{given} cannot be compared: at another offered load everything is another question")
    setting = stackaxes.setting_of(name)
    if setting is not None:
        return Variant(side, given, settings={".".join(setting): value.strip()})
    if name not in kinds.axes() and not name.startswith(pipeline_settings.PREFIX):
        near = difflib.get_close_matches(name, kinds.axes(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the axes are {', '.join(kinds.axes())}"
        raise UsageError(
            f"{name}: there is no axis {name!r}, and settings begin with PIPELINE_, kafka. or mongod.; {hint}"
        )
    return Variant(side, given, settings={name: value})


def matrix_of(variant: Variant, wanted: Matrix, api: Api, nodes: int | None = None) -> Matrix:
    """Return the matrix that a side runs: its axis or server's setting set in every cell that knows it.

    Cells keep their names.

    Raises:
        UsageError: no cell knows the axis, or it varies among them.
        MatrixError: the value cannot be.
    """
    for name, text in variant.settings.items():
        setting = stackaxes.setting_of(name)
        if setting is not None:
            wanted = _on_other_servers(wanted, setting, text, api, nodes)
        elif name in kinds.axes():
            wanted = _varied(wanted, name, text, api, nodes)
    return wanted


def settings_of(variant: Variant, environment: Mapping[str, str], cells: tuple[CellSpec, ...]) -> Settings:
    """Return the settings that a side runs with.

    Raises:
        SettingError: the setting is not there, or cannot have this value.
        UsageError: it changes nothing, for the cells' axes say what it says.
    """
    own = {name: value for name, value in variant.settings.items() if name.startswith(pipeline_settings.PREFIX)}
    plain, changed = pipeline_settings.load(environment), pipeline_settings.load({**environment, **own})
    if own and all(_in_cell(plain, cell) == _in_cell(changed, cell) for cell in cells):
        raise UsageError(f"{variant.given} changes nothing in any cell: it is so already, or an axis of the matrix")
    return changed


def with_rounds(wanted: Matrix, rounds: int) -> Matrix:
    """Return ``wanted`` with another number of rounds.

    Raises:
        UsageError: so many cannot be run.
    """
    if rounds < 1 or repeats(wanted.cells, rounds) > MAX_REPEATS:
        text = f"{rounds} rounds of {len(wanted.cells)} cells cannot be run"
        raise UsageError(f"{text}: at least 1 round, at most {MAX_REPEATS} repeats in all")
    return structs.replace(wanted, rounds=rounds)


def _revision(given: str) -> str:
    try:
        return checkout.commit_of(given)
    except MissingPartError as error:
        raise UsageError(
            f"{given!r} is none of: '.' (the working tree), 'fresh', NAME=VALUE (an axis, or a PIPELINE_... setting), "
            f"a git revision of {checkout.ROOT}"
        ) from error


def _in_cell(settings: Settings, cell: CellSpec) -> Settings:
    """Return the settings as they are in a cell, but for the port, which is another each time."""
    found = settings_for(settings, cell, "name")
    return structs.replace(found, api=structs.replace(found.api, port=0))


def _varied(wanted: Matrix, axis: str, text: str, api: Api, nodes: int | None) -> Matrix:
    content = tomllib.loads(wanted.text)
    having = kinds.having(axis)
    knowing = [block for block in content["cells"] if block["kind"] in having]
    if not knowing:
        raise UsageError(f"{axis}={text} changes nothing: {axis} is an axis of {' and '.join(having)} cells")
    if any(axis in block.get("axes", {}) for block in knowing):
        raise UsageError(
            f"{axis}={text} cannot be compared: it varies among the cells of {wanted.name!r}; fix it there"
        )
    for block in knowing:
        if axis in block:  # offered_load may stand outside of the table
            block[axis] = _value(axis, text)
        else:
            block["fixed"] = {**block.get("fixed", {}), axis: _value(axis, text)}
    return _changed(wanted, f"{axis}={text}", content, api, nodes)


def _on_other_servers(wanted: Matrix, setting: tuple[str, str], text: str, api: Api, nodes: int | None) -> Matrix:
    """Set what ``[servers]`` could set, for every cell."""
    content = tomllib.loads(wanted.text)
    changed = stackaxes.with_setting(content.get(stackaxes.SERVERS, {}), setting, _as_toml(text))
    if changed is None:
        name = ".".join(setting)
        raise UsageError(
            f"{name}={text} cannot be compared: it varies among the cells of {wanted.name!r}; give it one value there"
        )
    return _changed(wanted, f"{'.'.join(setting)}={text}", {**content, stackaxes.SERVERS: changed}, api, nodes)


def _changed(wanted: Matrix, by: str, content: Mapping[str, Any], api: Api, nodes: int | None) -> Matrix:
    """Return ``wanted`` with the cells of ``content``, which differs from its text as ``by`` says."""
    problems = Problems(f"{wanted.name} with {by}", wanted.text)
    problems.expect_finite(("cells",), content["cells"])
    problems.expect_finite((stackaxes.SERVERS,), content.get(stackaxes.SERVERS, {}))
    problems.raise_any()
    cells = expand(
        problems,
        content["cells"],
        wanted.traffic,
        api,
        nodes,
        stack=wanted.stack,
        server_table=content.get(stackaxes.SERVERS),
    )
    problems.raise_any()
    named = [structs.replace(cell, id=old.id) for cell, old in zip(cells, wanted.cells, strict=True)]
    return structs.replace(wanted, cells=tuple(named))


def _as_toml(text: str) -> Any:
    """Read a value as TOML, else as the text that it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _value(axis: str, text: str) -> Any:
    """Read the value of an axis: as TOML where that fits, else as the text that it is."""
    value = _as_toml(text)
    try:
        msgspec.convert(value, kinds.axes()[axis].type)
    except msgspec.ValidationError:
        return text
    return value
