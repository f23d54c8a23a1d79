"""The servers as axes of a matrix: ``[servers]``, what of it can be, and which stacks a matrix needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from msgspec import structs

from bench.cells.cellspec import CellSpec
from bench.matrix.problems import Problems
from bench.matrix.tomllines import Path
from pipeline.local import stackspec
from pipeline.local.stackspec import Given, StackSpec, Value

SERVERS = "servers"
_KINDS = ("kafka", "mongod")
_SCALARS = get_args(Value)
_LEAST_IN_SYNC = "min.insync.replicas"
_YOURS = (
    "can be chosen only for servers that the bench starts, and this run is on yours: leave it out, or unset "
    "PIPELINE_KAFKA_BOOTSTRAP_SERVERS and PIPELINE_MONGO_URI"
)


class ServerSettings(NamedTuple):
    """One combination of what ``[servers]`` varies."""

    kafka: Given = ()
    mongod: Given = ()


def read(problems: Problems, table: Any, stack: StackSpec | None) -> tuple[ServerSettings, ...]:
    """Return every combination of the values in ``[servers]``, at least one; what is wrong goes into ``problems``.

    ``stack``: the servers that are started; None: they are the user's own, and nothing of them can be set.
    """
    if not table:
        return (ServerSettings(),)
    if not isinstance(table, Mapping):
        problems.add(
            (SERVERS,), f'{SERVERS} is a table: write [{SERVERS}] and kafka."num.io.threads" = [2, 8] below it'
        )
        return (ServerSettings(),)
    if stack is None:
        problems.add((SERVERS,), f"[{SERVERS}] {_YOURS}")
        return (ServerSettings(),)
    varied: dict[str, dict[str, list[Value]]] = {kind: {} for kind in _KINDS}
    for kind, content in table.items():
        if kind not in _KINDS:
            problems.unknown((SERVERS, kind), kind, _KINDS)
        elif not isinstance(content, Mapping):
            problems.add((SERVERS, kind), f'{kind} is a table: write {kind}."NAME" = [VALUE, VALUE]')
        else:
            for name, value in _flat(content):
                varied[kind][name] = _values(problems, (SERVERS, kind), f"{kind}.{name!r}", value)
    return tuple(
        ServerSettings(kafka, mongod)
        for kafka, mongod in itertools.product(*(_combinations(varied[kind]) for kind in _KINDS))
    )


def setting_of(name: str) -> tuple[str, str] | None:
    """Read ``kafka."num.io.threads"``, quotes or not: the server and its setting; None if it names none."""
    kind, dot, setting = name.strip().partition(".")
    setting = setting.strip("\"'")
    return (kind, setting) if kind in _KINDS and dot and setting else None


def with_setting(table: Mapping[str, Any], setting: tuple[str, str], value: Any) -> dict[str, Any] | None:
    """Return the ``[servers]`` of a sound matrix with one more setting, or another value of it; None if it varies."""
    kind, name = setting
    there = dict(_flat(table.get(kind, {})))
    if isinstance(there.get(name), list) and len(there[name]) > 1:
        return None
    # In a list: it is one value, and a list of several is none that a setting could have.
    return {**table, kind: {**there, name: [value]}}


def refuse_yours(problems: Problems, path: Path, name: str) -> None:
    """Note that an axis of the servers cannot be varied on the user's own."""
    more = "; PIPELINE_KAFKA_REPLICATION_FACTOR sets the copies there" if name == "replication" else ""
    problems.add(path, f"{name} {_YOURS}{more}")


def filled(cell: CellSpec, *, replication_is_given: bool) -> CellSpec:
    """Return ``cell`` with as many copies as its brokers have by default, unless its block says how many."""
    if replication_is_given or cell.stack is None:
        return cell
    return structs.replace(cell, replication=cell.stack.replication)


def wrong(cell: CellSpec) -> Iterator[tuple[str, str]]:
    """Say what cannot be about the servers of ``cell``: the name of what is wrong, and what to do."""
    stack = cell.stack
    if stack is None or cell.brokers is None or cell.replication is None:
        return
    for name, count in (("brokers", stack.brokers), ("mongo_members", stack.mongo_members)):
        for text in stackspec.count_problems(name, count, coordination=stack.coordination):
            yield name, text
    copies = stackspec.copies_problem(cell.replication, cell.brokers)
    if copies:
        yield "replication", copies
    least = dict(cell.kafka).get(_LEAST_IN_SYNC)
    if isinstance(least, int) and (text := stackspec.in_sync_problem(least, cell.replication)):
        yield SERVERS, text
    for text in stackspec.setting_problems(stack):
        yield SERVERS, text


def least_in_sync(cell: CellSpec) -> int:
    """Return min.insync.replicas of the topics of ``cell``; 0 where that is the brokers' own."""
    if cell.replication is None or cell.brokers == 1 or _LEAST_IN_SYNC in dict(cell.kafka):
        return 0
    return stackspec.least_in_sync(cell.replication)


def stacks_of(cells: Iterable[CellSpec]) -> tuple[StackSpec | None, ...]:
    """Return every stack that ``cells`` need, each once, in their order."""
    return tuple(dict.fromkeys(cell.stack for cell in cells))


def untried(cells: Iterable[CellSpec]) -> tuple[StackSpec, ...]:
    """Return the stacks of ``cells``, in order, to start once before the first one, which does not show their faults.

    Only settings are tried, those that go together once, on the smallest stack that has them.
    """
    first, *others = stacks_of(cells)
    seen = _settings(first)
    found = []
    for spec in sorted(filter(None, others), key=lambda spec: spec.brokers + spec.mongo_members):  # stable
        if not _settings(spec) <= seen:
            found.append(spec)
            seen |= _settings(spec)
    return tuple(found)


def _settings(spec: StackSpec | None) -> set[tuple[str, Given]]:
    """Return what each kind of server of ``spec`` is asked to take: two versions of Kafka may not take the same."""
    asked = ((spec.kafka_version, spec.kafka), ("mongod", spec.mongod)) if spec else ()
    return {(name, given) for name, given in asked if given}


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Return names with their dots: TOML takes those outside of quotes for tables."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _values(problems: Problems, path: Path, name: str, given: Any) -> list[Value]:
    values = given if isinstance(given, list) else [given]
    if not values:
        problems.add(path, f"{name} has no value: give one, or a list of them")
    found: list[Value] = []
    for value in values:
        if not isinstance(value, _SCALARS):
            problems.add(path, f"{name} = {value!r} is impossible: a number, true, false, or text in quotes")
        elif any(stackspec.as_text(value) == stackspec.as_text(one) for one in found):
            problems.add(path, f"{name} has {value!r} twice: keep one")
        else:
            found.append(value)
    return found


def _combinations(varied: Mapping[str, list[Value]]) -> list[Given]:
    return [stackspec.given(dict(zip(varied, values, strict=True))) for values in itertools.product(*varied.values())]
