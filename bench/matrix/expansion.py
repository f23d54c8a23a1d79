"""From the ``[[cells]]`` of a matrix to its cells: all combinations of the axes, each refused that cannot be run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bench import kinds
from bench.cells.axes import OFFERED_LOAD, STACK_AXES, Compression
from bench.cells.cellspec import CellSpec
from bench.kinds import naming
from bench.kinds.kind import Kind, Size
from bench.matrix import stackaxes
from bench.matrix.problems import Problems
from bench.matrix.stackaxes import ServerSettings
from bench.matrix.tomllines import Path
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Api
from traffic.spec import Traffic

MAX_CELLS = 1_000
_ENVELOPE_BYTES = 512  # what an event's JSON may have beyond payload_bytes
_BLOCK_KEYS = ("kind", "axes", "fixed")
_DURABILITY = ("acks", "write_concern", "replication", "mongo_members")


class _Block(NamedTuple):
    """One ``[[cells]]`` as read: ``values`` has the list of values of each axis that is given in any way."""

    path: Path
    kind: Kind[Any]
    values: dict[str, Sequence[Any]]
    varied: frozenset[str]
    sizes: dict[str, Any]


class _Base(NamedTuple):
    """What fills the cells of every block: the traffic, the servers, and each combination of their settings."""

    traffic: Traffic
    stack: StackSpec | None
    servers: tuple[ServerSettings, ...]


class _Placed(NamedTuple):
    """A cell, and the block it comes from."""

    cell: CellSpec
    block: _Block


def expand(
    problems: Problems,
    blocks: Any,
    traffic: Traffic,
    api: Api,
    nodes: int | None = None,
    *,
    stack: StackSpec | None,
    server_table: Any = None,
) -> tuple[CellSpec, ...]:
    """Return every cell of ``blocks`` in order; what is wrong goes into ``problems``, and the rest is looked at still.

    ``traffic`` and ``stack`` (None: the user's own servers) fill what a cell leaves open; ``api`` has the limits that
    payloads keep to; ``nodes``: how many hold data in the MongoDB of the user's own, None: not known;
    ``server_table``: the matrix's ``[servers]``.
    """
    if not isinstance(blocks, list) or not blocks or not all(isinstance(block, Mapping) for block in blocks):
        *others, last = map(repr, kinds.names())
        known = f"{', '.join(others)} or {last}"
        problems.add(("cells",), f"there are no cells: write [[cells]], and kind = {known} below it")
        return ()
    before = len(problems)
    placed: list[_Placed] = []
    base = _Base(traffic, stack, stackaxes.read(problems, server_table, stack))
    for number, given in enumerate(blocks):
        block = _read(problems, ("cells", number), given, yours=stack is None)
        if block is None:
            continue
        count = len(placed) + _size(block) * len(base.servers)
        if count > MAX_CELLS:
            problems.add(block.path, f"with these there are {count} cells, more than {MAX_CELLS}: leave values out")
            break
        placed.extend(_Placed(cell, block) for cell in _combinations(block, base))
    if len(problems) > before:  # what is wrong between cells may be but a consequence
        return tuple(cell for cell, _ in placed)
    _refuse_duplicates(problems, placed)
    _refuse_unequal_durability(problems, placed)
    for each in placed:
        _refuse_impossible(problems, each, traffic, api)
        _refuse_impossible_servers(problems, each)
        _refuse_absent_nodes(problems, each, nodes if stack is None else each.cell.mongo_members)
    _refuse_shares_of_nothing(problems, placed)
    return tuple(cell for cell, _ in placed)


def _read(problems: Problems, path: Path, given: Mapping[str, Any], *, yours: bool) -> _Block | None:
    """Read one ``[[cells]]``; ``yours``: the servers are the user's own."""
    name = given.get("kind")
    if name not in kinds.names():
        wrong = f"kind = {name!r} is none" if "kind" in given else "kind is missing"
        problems.add((*path, "kind"), f"{wrong}: a cell's kind is one of {', '.join(map(repr, kinds.names()))}")
        return None
    kind = kinds.named(name)
    values: dict[str, Sequence[Any]] = {}
    sizes = _read_sizes(problems, path, kind, given, values)
    varied = _read_table(problems, path, "axes", kind, given, values)
    _read_table(problems, path, "fixed", kind, given, values)
    if yours:
        _refuse_stack_axes(problems, path, varied, values)
    missing = [f"a {kind.name} cell needs {name}: {text}" for name, text in kind.needed.items() if name not in values]
    for text in missing:
        problems.add(path, text)
    if missing:
        return None
    sizes = {**kind.usual, **sizes}
    for name, text in kind.size_problems(sizes):
        problems.add((*path, name), text)
    return _Block(path, kind, values, varied, sizes)


def _read_sizes(
    problems: Problems, path: Path, kind: Kind[Any], given: Mapping[str, Any], values: dict[str, Sequence[Any]]
) -> dict[str, Any]:
    """Read what stands beside ``axes`` and ``fixed``: sizes, and an offered load, which goes into ``values``."""
    all_sizes = {name: None for each in kinds.every() for name in each.sizes}
    sizes: dict[str, Any] = {}
    for name, value in given.items():
        if name in all_sizes:
            _read_size(problems, (*path, name), kind, value, sizes)
        elif name == OFFERED_LOAD:
            _read_axis(problems, (*path, name), kind, [value], values)
        elif name in kinds.axes():
            problems.add((*path, name), f"{name} is an axis: write fixed = {{ {name} = ... }}, or axes with a list")
        elif name not in _BLOCK_KEYS:
            problems.unknown((*path, name), name, (*_BLOCK_KEYS, *all_sizes, OFFERED_LOAD))
    return sizes


def _refuse_stack_axes(problems: Problems, path: Path, varied: frozenset[str], values: Mapping[str, Any]) -> None:
    for name in STACK_AXES:
        if name in values:
            stackaxes.refuse_yours(problems, (*path, "axes" if name in varied else "fixed", name), name)


def _read_size(problems: Problems, path: Path, kind: Kind[Any], value: Any, sizes: dict[str, Any]) -> None:
    name = str(path[-1])
    size: Size | None = kind.sizes.get(name)
    if size is None:
        of_kinds = " and ".join(each.name for each in kinds.every() if name in each.sizes)
        problems.add(path, f"{name} belongs to {of_kinds} cells, this is a {kind.name} cell: leave it out")
        return
    try:
        sizes[name] = msgspec.convert(value, size.type)
    except msgspec.ValidationError:
        problems.add(path, f"{name} = {value!r} is impossible: {size.allowed}")


def _read_table(
    problems: Problems,
    path: Path,
    table: str,
    kind: Kind[Any],
    given: Mapping[str, Any],
    values: dict[str, Sequence[Any]],
) -> frozenset[str]:
    """Read ``axes`` or ``fixed`` into ``values``; return the names that it has."""
    content = given.get(table, {})
    if not isinstance(content, Mapping):
        problems.add((*path, table), f"{table} is a table: write {table} = {{ partitions = ... }}")
        return frozenset()
    for name, value in content.items():
        where = (*path, table, name)
        if name not in kinds.axes():
            problems.unknown(where, name, kinds.axes())
        elif name in values:
            problems.add(where, f"{name} is given twice in these cells: keep one")
        elif table == "axes" and (not isinstance(value, list) or not value):
            problems.add(where, f"{name} = {value!r} is not an axis: give a list of values, or put it under fixed")
        elif table == "fixed" and isinstance(value, list):
            problems.add(where, f"{name} = {value!r} is a list: put it under axes, or give one value")
        else:
            _read_axis(problems, where, kind, value if table == "axes" else [value], values)
    return frozenset(content)


def _read_axis(
    problems: Problems, path: Path, kind: Kind[Any], given: Sequence[Any], values: dict[str, Sequence[Any]]
) -> None:
    name = str(path[-1])
    axis = kinds.axes()[name]
    if not kind.has(name):
        only = " and ".join(kinds.having(name))
        problems.add(path, f"{name} means nothing in a {kind.name} cell, only in {only}: leave it out")
        return
    converted: list[Any] = []
    for value in given:
        try:
            one = msgspec.convert(value, axis.type)
        except msgspec.ValidationError:
            problems.add(path, f"{name} = {value!r} is impossible: {axis.allowed}")
            continue
        if name == "event_mix":
            one = tuple(one.items())
            if not sum(weight for _, weight in one) > 0:
                problems.add(path, f"{name} = {value!r} is impossible: at least one weight has to be above 0")
        if one in converted:
            problems.add(path, f"{name} has {value!r} twice: keep one")
        else:
            converted.append(one)
    values[name] = converted


def _size(block: _Block) -> int:
    size = 1
    for values in block.values.values():
        size *= len(values)
    return size


def _combinations(block: _Block, filling: _Base) -> Iterator[CellSpec]:
    """Every combination, the last axis of the list of axes changing fastest, and what [servers] varies last."""
    traffic, stack = filling.traffic, filling.stack
    base: CellSpec = block.kind.cell(
        id="",
        kind=block.kind.name,
        key_skew=traffic.key_skew,
        payload_bytes=traffic.payload_bytes,
        visitor_share=traffic.visitor_share,
        brokers=stack.brokers if stack else None,
        replication=stack.replication if stack else None,
        coordination=stack.coordination if stack else None,
        mongo_members=stack.mongo_members if stack else None,
        **block.sizes,
    )
    names = [name for name in kinds.axes() if name in block.values]
    combinations = itertools.product(*(block.values[name] for name in names))
    for combination, servers in itertools.product(combinations, filling.servers):
        cell = msgspec.structs.replace(base, **dict(zip(names, combination, strict=True)), **servers._asdict())
        cell = stackaxes.filled(cell, replication_is_given="replication" in block.values)
        yield msgspec.structs.replace(cell, id=naming.cell_id(cell))


def _refuse_duplicates(problems: Problems, placed: Sequence[_Placed]) -> None:
    first: dict[str, _Block] = {}
    for cell, block in placed:
        if cell.id in first:
            line = problems.line_of(first[cell.id].path)
            problems.add(
                block.path, f"the cell {cell.id} is there already, from line {line}: leave it out in one place"
            )
        first.setdefault(cell.id, block)


def _refuse_unequal_durability(problems: Problems, placed: Sequence[_Placed]) -> None:
    """Refuse what would compare cells of different durability unawares (method.md, rule 8)."""
    for name in _DURABILITY:
        plain = [each for each in placed if each.block.kind.has(name) and not _is_varied(name, each.block)]
        for cell, block in plain:
            value, other = getattr(cell, name), getattr(plain[0].cell, name)
            if value != other:
                given = "brokers" if name == "replication" and name not in block.values else name
                path = (*block.path, "fixed", given)
                text = f"{name} is {value!r} here and {other!r} from line {problems.line_of(plain[0].block.path)} on"
                problems.add(path, f"{text}: durability is equal in all cells, unless it is under axes")


def _is_varied(name: str, block: _Block) -> bool:
    """Whether a block varies an axis, or what it follows from."""
    follows = name == "replication" and name not in block.values and "brokers" in block.varied
    return name in block.varied or follows


def _is_installed(compression: Compression) -> bool:
    """Whether the producer can compress so on this machine."""
    if compression == "none":
        return True
    from aiokafka import codec  # noqa: PLC0415 - only here, so that `plan` and `--help` start without it

    return bool(getattr(codec, f"has_{compression}")())


def _refuse_impossible(problems: Problems, placed: _Placed, traffic: Traffic, api: Api) -> None:
    cell, block = placed
    for name, text in block.kind.problems(cell):
        problems.add((*block.path, name) if name in block.kind.sizes else _place(block, name), text)
    if not block.kind.through_http:
        return
    if not _is_installed(cell.compression):
        path = _place(block, "compression")
        text = f"compression = {cell.compression!r} needs a codec that is not installed here"
        problems.add(path, f"{text}: install cramjam, or use 'none' or 'gzip'")
    largest = api.max_event_bytes - _ENVELOPE_BYTES
    in_batches = api.max_body_bytes // traffic.batch_max_events - _ENVELOPE_BYTES
    path = _place(block, "payload_bytes")
    if cell.payload_bytes > largest:
        problems.add(path, f"payload_bytes = {cell.payload_bytes} is too large for the API: up to {largest}")
    elif cell.payload_bytes > in_batches:
        text = f"payload_bytes = {cell.payload_bytes} is too large for requests of {traffic.batch_max_events} events"
        fitting = max(1, api.max_body_bytes // (cell.payload_bytes + _ENVELOPE_BYTES))
        problems.add(path, f"{text} (the API takes {api.max_body_bytes} bytes): [traffic] batch_max_events = {fitting}")


def _refuse_impossible_servers(problems: Problems, placed: _Placed) -> None:
    cell, block = placed
    for name, text in stackaxes.wrong(cell):
        problems.add((name,) if name == stackaxes.SERVERS else _place(block, name), text)


def _refuse_absent_nodes(problems: Problems, placed: _Placed, nodes: int | None) -> None:
    """Refuse a write concern that no write could meet: every repeat would fail."""
    cell, block = placed
    if nodes is None or not cell.write_concern.isdecimal() or int(cell.write_concern) <= nodes:
        return
    path = _place(block, "write_concern")
    there = "only 1 node holds" if nodes == 1 else f"only {nodes} nodes hold"
    text = f"write_concern = {cell.write_concern!r} waits for {cell.write_concern} nodes, but {there} data"
    problems.add(path, f"{text}: write 'majority', or a number up to '{nodes}'")


def _refuse_shares_of_nothing(problems: Problems, placed: Sequence[_Placed]) -> None:
    """A share of a drain needs a drain in the same run."""
    if any(block.kind.sets_loads for _, block in placed):
        return
    for name, path in dict.fromkeys((name, block.path) for cell, block in placed for name in block.kind.shares(cell)):
        text = f"{name} is a share of what a drain reached, and no cell is a drain"
        problems.add(path, f"{text}: add a [[cells]] with kind = 'drain', or give {name} in events/s")


def _place(block: _Block, axis: str) -> Path:
    """Return where the value of an axis stands in its block."""
    return (*block.path, "axes" if axis in block.varied else "fixed", axis)
