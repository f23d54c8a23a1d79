"""The matrix: what a run varies, how often it repeats, and by which bounds and objective it is judged.

A matrix is a TOML file; ``bench/matrices`` holds those that come with Tidemark, quick.toml is a good one to
start from. :func:`load` returns it with every cell spelled out, or one error that lists all that is wrong.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from bench import kinds
from bench.cells.bounds import Bounds
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective
from bench.errors import MatrixError, Problem
from bench.matrix.expansion import expand
from bench.matrix.problems import Problems
from pipeline.errors import UsageError
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Api
from traffic.spec import Traffic

SHIPPED_DIR = Path(__file__).parents[1] / "matrices"
MAX_REPEATS = 5_000  # three attempts of each have run numbers of their own, and those have 14 bits
LOCAL = StackSpec()


class Matrix(Struct, frozen=True):
    """A matrix that can be run. ``text``: the file as given; ``cells``: in the order of the file.

    ``search_s``: how long all searches for capacity may take together; None: as long as they need.
    ``stack``: the servers of the cells that do not say which; None: the user's own.
    """

    name: str
    seed: int
    rounds: int
    bounds: Bounds
    objective: Objective
    traffic: Traffic
    cells: tuple[CellSpec, ...]
    text: str
    search_s: float | None = None
    stack: StackSpec | None = LOCAL

    def objective_of(self, cell: CellSpec) -> Objective:
        """Return what ``cell`` has to reach."""
        return kinds.named(cell.kind).objective(cell, self.objective)


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    """The plain values at the top of the file. ``name``: a part of the name of each run's folder."""

    name: Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
    seed: Annotated[int, Meta(ge=0, lt=1 << 62)] = 1
    rounds: Annotated[int, Meta(ge=1, le=1_000)] = 3
    search_s: Annotated[float, Meta(ge=60, le=86_400)] | None = None


def repeats(cells: Sequence[CellSpec], rounds: int) -> int:
    """Return how many repeats a run may have, the probes of searches included."""
    return sum(kinds.named(cell.kind).most_repeats(cell, rounds) for cell in cells)


def shipped() -> tuple[str, ...]:
    """Return the names of the matrices that come with Tidemark."""
    return tuple(sorted(path.stem for path in SHIPPED_DIR.glob("*.toml")))


def load(
    path_or_name: str | Path, *, api: Api | None = None, nodes: int | None = None, stack: StackSpec | None = LOCAL
) -> Matrix:
    """Read a matrix from a TOML file, or one of those shipped by its name.

    ``api``: the API's settings, whose limits the payloads have to keep to (default: the defaults). ``stack``: the
    servers that are started where the matrix does not say others; None: they are the user's own. ``nodes``: how many of
    those hold data in MongoDB, which is as many as a write can wait for; None: not known.

    Raises:
        MatrixError: it cannot be run; the message lists every problem with its line.
        UsageError: there is no such file or name.
    """
    path = Path(path_or_name)
    if str(path_or_name) in shipped() and not path.is_file():
        path = SHIPPED_DIR / f"{path_or_name}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = difflib.get_close_matches(str(path_or_name), shipped(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"name a TOML file, or one of {', '.join(shipped())}"
        raise UsageError(f"there is no matrix {str(path_or_name)!r} ({error.strerror}): {hint}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    return parse(text, str(path_or_name), api=api, nodes=nodes, stack=stack)


def parse(
    text: str, source: str, *, api: Api | None = None, nodes: int | None = None, stack: StackSpec | None = LOCAL
) -> Matrix:
    """Read a matrix from the text of a TOML file; ``source`` names it in errors, the rest is as in :func:`load`.

    Raises:
        MatrixError: it cannot be run; the message lists every problem with its line.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        end = text.count("\n") + 1  # "at end of document"
        problem = Problem(int(line[1]) if line else end, f"this is not TOML: {error}")
        raise MatrixError(source, (problem,)) from error
    problems = Problems(source, text)
    problems.expect_finite((), content)
    problems.raise_any()  # no rule below has to think of it
    tables = ("bounds", "objective", "traffic", "servers", "cells")
    head = _struct(problems, {key: value for key, value in content.items() if key not in tables}, _Head, (), tables)
    bounds = _struct(problems, content.get("bounds", {}), Bounds, ("bounds",))
    objective = _struct(problems, content.get("objective", {}), Objective, ("objective",))
    traffic = _struct(problems, content.get("traffic", {}), Traffic, ("traffic",))
    cells = expand(
        problems,
        content.get("cells", []),
        traffic or Traffic(),
        api or Api(),
        nodes,
        stack=stack,
        server_table=content.get("servers"),
    )
    if head and repeats(cells, head.rounds) > MAX_REPEATS:
        problems.add(("rounds",), f"{head.rounds} rounds of {len(cells)} cells are more than {MAX_REPEATS} repeats")
    problems.raise_any()
    if not (head and bounds and objective and traffic):  # a problem was added for each that is missing
        raise AssertionError("a part of the matrix was refused without a word")
    return Matrix(head.name, head.seed, head.rounds, bounds, objective, traffic, cells, text, head.search_s, stack)


_Table = TypeVar("_Table", bound=Struct)


def _struct(
    problems: Problems, values: Any, kind: type[_Table], path: tuple[str, ...], others: tuple[str, ...] = ()
) -> _Table | None:
    """Make a ``kind`` of a table, or note all that is wrong with it. ``others``: what else may stand beside it."""
    if not isinstance(values, Mapping):
        problems.add(path, f"{path[-1]} is a table: write [{path[-1]}] above its values")
        return None
    known = (*kind.__struct_fields__, *others)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    sound = True
    for name, value in values.items():
        if name not in fields:
            problems.unknown((*path, name), name, known)
        else:
            try:
                msgspec.convert(_as_pairs(value), fields[name].type)
            except msgspec.ValidationError as error:
                problems.add((*path, name), f"{name} = {value!r} cannot be used: {error}")
            else:
                continue
        sound = False
    for field in fields.values():
        if field.required and field.name not in values:
            problems.add((*path, field.name), f"{field.name} is missing: give it one at the top of the file")
            sound = False
    if not sound:
        return None
    try:
        return msgspec.convert({name: _as_pairs(value) for name, value in values.items()}, kind)
    except msgspec.ValidationError as error:  # what no single field shows to be wrong
        problems.add(path, f"[{path[-1] if path else 'the file'}] cannot be used: {error}")
        return None


def _as_pairs(value: Any) -> Any:
    """An event mix is a table in TOML, and pairs in the traffic's own form."""
    return tuple(value.items()) if isinstance(value, Mapping) else value
