"""A matrix is read whole, or refused with every problem, its line and the nearest valid name."""

from __future__ import annotations

import pytest
from aiokafka import codec
from msgspec import structs

from bench.cells.axes import AXES
from bench.cells.bounds import Bounds, changed
from bench.cells.cellspec import CellSpec
from bench.cells.objective import Objective, OfferedLoad
from bench.errors import MatrixError
from bench.kinds import naming
from bench.kinds.drain import DrainCell
from bench.kinds.naming import cell_id
from bench.matrix import matrix
from bench.matrix.matrix import Matrix
from pipeline.errors import UsageError
from pipeline.settings import Api
from traffic.spec import Traffic

DRAIN = """
[[cells]]
kind = "drain"
axes = { partitions = [1, 3], consumers = [1, 2, 4] }
fixed = { batch_max_events = 500 }
events = 20_000
"""
STEADY = """
[[cells]]
kind = "steady"
axes = { partitions = [1, 3] }
fixed = { batch_max_events = 500 }
warmup_s = 1.5
duration_s = 4
offered_load = { share_of_drain = 0.25, at_least = 800 }
"""


def read(cells: str, top: str = 'name = "mine"') -> Matrix:
    return matrix.parse(f"{top}\n{cells}", "mine.toml")


def problems_of(cells: str, top: str = 'name = "mine"') -> list[tuple[int, str]]:
    with pytest.raises(MatrixError) as refused:
        read(cells, top)
    for problem in refused.value.problems:
        assert f"mine.toml:{problem.line}: {problem.text}" in str(refused.value).splitlines()
    return [(problem.line, problem.text) for problem in refused.value.problems]


def only_problem_of(cells: str, top: str = 'name = "mine"') -> tuple[int, str]:
    problems = problems_of(cells, top)
    assert len(problems) == 1, problems
    return problems[0]


def test_axes_are_multiplied_and_fixed_values_hold_for_all_of_them() -> None:
    cells = read(DRAIN).cells
    assert [(cell.partitions, cell.consumers) for cell in cells] == [(1, 1), (1, 2), (1, 4), (3, 1), (3, 2), (3, 4)]
    assert {cell.batch_max_events for cell in cells} == {500}
    assert {cell.events for cell in cells} == {20_000}


def test_the_file_s_own_values_and_the_defaults_of_all_others_are_there() -> None:
    given = read(DRAIN, 'name = "mine"\nseed = 9\nrounds = 4\n[bounds]\nunsent = 3\n[objective]\nrejected_share = 0.1')
    assert (given.name, given.seed, given.rounds) == ("mine", 9, 4)
    assert given.objective.rejected_share == 0.1
    assert given.traffic == Traffic()
    assert given.text.endswith(DRAIN)
    plain = read(DRAIN)
    assert (plain.seed, plain.rounds, plain.bounds) == (1, 3, Bounds())


def test_a_changed_bound_is_named() -> None:
    assert changed(Bounds()) == ()
    assert changed(read(DRAIN, 'name = "mine"\n[bounds]\ndrain_timeout_s = 90').bounds) == ("drain_timeout_s",)


def test_an_offered_load_may_be_a_share_of_the_drains() -> None:
    steady = [cell for cell in read(DRAIN + STEADY).cells if cell.kind == "steady"]
    assert [cell.offered_load for cell in steady] == [OfferedLoad(0.25, 800)] * 2


def test_traffic_fills_what_the_cells_leave_open() -> None:
    top = 'name = "mine"\n[traffic]\npayload_bytes = 900\nkey_skew = 0.5\nevent_mix = { page_view = 1, other = 3 }'
    given = read(DRAIN, top)
    assert {(cell.payload_bytes, cell.key_skew) for cell in given.cells} == {(900, 0.5)}
    assert given.traffic.event_mix == (("page_view", 1), ("other", 3))


def test_an_event_mix_can_be_an_axis() -> None:
    cells = read('[[cells]]\nkind = "drain"\naxes = { event_mix = [{ page_view = 1 }, { signup = 2, page_view = 1 }] }')
    assert [cell.event_mix for cell in cells.cells] == [(("page_view", 1.0),), (("signup", 2.0), ("page_view", 1.0))]
    assert [naming.axes_of(cell)["event_mix"] for cell in cells.cells] == [
        {"page_view": 1.0},
        {"signup": 2.0, "page_view": 1.0},
    ]


def test_a_cell_lists_all_axes_and_those_of_another_kind_are_null() -> None:
    drain, steady = read(DRAIN + STEADY).cells[0], read(DRAIN + STEADY).cells[-1]
    assert set(naming.axes_of(drain)) == set(naming.axes_of(steady)) == set(AXES)
    assert naming.axes_of(drain)["api_processes"] is None
    assert naming.axes_of(steady)["api_processes"] == 1
    assert naming.axes_of(steady)["offered_load"] == {"share_of_drain": 0.25, "at_least": 800}


def test_a_cell_s_name_has_what_differs_from_the_defaults_and_nothing_else() -> None:
    cell = DrainCell(id="", partitions=6, consumers=2)
    assert cell_id(cell) == "drain-p6-c2"
    assert cell_id(structs.replace(cell, driver="pymongo", batch_max_events=500)) == "drain-p6-c2-batch500-pymongo"
    steady = CellSpec(id="", kind="steady", offered_load=OfferedLoad())
    assert cell_id(steady) == "steady-p3-c1"
    assert cell_id(structs.replace(steady, offered_load=OfferedLoad(0.75, 1000))) == "steady-p3-c1-at75pct"
    assert cell_id(structs.replace(steady, offered_load=OfferedLoad(0.75, 50))) == "steady-p3-c1-at75pctmin50"
    assert cell_id(structs.replace(steady, offered_load=2_500.0)) == "steady-p3-c1-at2500"


@pytest.mark.parametrize("name", ["smoke", "quick", "full", "axes", "noise", "scaling", "wall"])
def test_the_shipped_matrices_can_be_run(name: str) -> None:
    shipped = matrix.load(name)
    assert shipped.name == name
    assert len({cell.id for cell in shipped.cells}) == len(shipped.cells) > 1
    assert shipped.bounds == Bounds()


def test_quick_has_the_rounds_and_cells_that_the_method_asks_for() -> None:
    quick = matrix.load("quick")
    assert quick.rounds >= 3
    assert matrix.load("full").rounds >= 5
    drained, searched = (
        {(cell.partitions, cell.consumers) for cell in quick.cells if cell.kind == kind}
        for kind in ("drain", "capacity")
    )
    assert drained == searched
    assert len({partitions for partitions, _ in searched}) > 1
    assert len({consumers for _, consumers in searched}) > 1
    searches = [cell for cell in quick.cells if cell.kind == "capacity"]
    assert {cell.objective for cell in searches} == {Objective(delivery_latency_p99_ms=1_000)}


def test_a_steady_cell_may_have_an_objective_of_its_own() -> None:
    own = '[[cells]]\nkind = "steady"\noffered_load = 100\nobjective = { delivery_latency_p99_ms = 25 }'
    parsed = matrix.parse(f'name = "mine"\n{own}\n[objective]\nrejected_share = 0.5', "mine.toml")
    assert parsed.objective_of(parsed.cells[0]) == Objective(delivery_latency_p99_ms=25)


def test_a_search_has_an_objective_of_its_own_the_matrix_s_or_the_default() -> None:
    own = '[[cells]]\nkind = "capacity"\nstart_load = 500\nobjective = { response_time_p99_ms = 50 }'
    open_one = '[[cells]]\nkind = "capacity"\nstart_load = 500\nfixed = { partitions = 1 }'
    parsed = matrix.parse(f'name = "mine"\n{own}\n{open_one}', "mine.toml")
    assert parsed.objective_of(parsed.cells[0]) == Objective(response_time_p99_ms=50)
    assert parsed.objective_of(parsed.cells[1]) == Objective(delivery_latency_p99_ms=1000)
    given = matrix.parse(f'name = "mine"\n{open_one}\n[objective]\nresponse_time_p99_ms = 9', "mine.toml")
    assert given.objective_of(given.cells[0]) == Objective(response_time_p99_ms=9)


def test_a_name_that_is_near_a_shipped_one_is_asked_for() -> None:
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        matrix.load("quikc")
    with pytest.raises(UsageError, match="axes, full, noise, perf, quick, replication, scaling, smoke"):
        matrix.load("/nowhere/at-all")


@pytest.mark.parametrize(
    ("top", "line", "said"),
    [
        ('name = "mine"\nseeds = 2', 2, "unknown name 'seeds'; did you mean 'seed'?"),
        ('name = "mine"\n# rounds = 1\nrounds = 0', 3, "rounds = 0 cannot be used"),
        ("rounds = 2", 1, "name is missing"),
        ('name = "mine"\n\n[bound]\nunsent = 1', 3, "unknown name 'bound'; did you mean 'bounds'?"),
        ('name = "mine"\n[bounds]\nunsend = 1', 3, "unknown name 'unsend'; did you mean 'unsent'?"),
        ('name = "mine"\n[bounds]\ncompare_share = 0.001', 3, "compare_share = 0.001 cannot be used"),
        ('name = "mine"\n[objective]\n\nrejected_share = 2', 4, "rejected_share = 2 cannot be used"),
        ('name = "mine"\n[traffic]\nuser = 2', 3, "unknown name 'user'; did you mean 'users'?"),
        ('name = "mine"\n[traffic]\nbatch_min_events = 600', 2, "batch_min_events=600 is above batch_max_events=500"),
        ('name = "mine"\nrounds = 900', 2, "900 rounds of 6 cells are more than 5000 repeats"),
        ('name = "mine"\nseed = ', 2, "this is not TOML"),
    ],
)
def test_a_mistake_above_the_cells_is_reported_with_its_line(top: str, line: int, said: str) -> None:
    found_line, text = only_problem_of(DRAIN, top)
    assert found_line == line
    assert said in text


@pytest.mark.parametrize(
    ("kind", "lines", "line", "said"),
    [
        ("drain", "axes = { partition = [1] }", 4, "unknown name 'partition'; did you mean 'partitions'?"),
        ("drain", "fixed = { batch_events = 1 }", 4, "unknown name 'batch_events'; did you mean 'batch_max_events'?"),
        ("drain", "axes = { partitions = [0, 1] }", 4, "partitions = 0 is impossible: a whole number, 1 to 1000"),
        ("drain", "[cells.axes]\npartitions = [\n  1,\n  3,\n]\nconsumers = [1.5]", 9, "consumers = 1.5 is impossible"),
        ("drain", "axes = { partitions = 3 }", 4, "partitions = 3 is not an axis: give a list"),
        ("drain", "axes = { partitions = [] }", 4, "is not an axis: give a list"),
        ("drain", "fixed = { partitions = [1, 2] }", 4, "is a list: put it under axes"),
        ("drain", "fixed = 3", 4, "fixed is a table"),
        ("drain", "axes = { partitions = [2, 2] }", 4, "partitions has 2 twice"),
        ("drain", "axes = { consumers = [1] }\nfixed = { consumers = 2 }", 5, "consumers is given twice"),
        ("drain", "partitions = 3", 4, "partitions is an axis: write fixed = { partitions = ... }"),
        ("drain", "fixed = { api_processes = 2 }", 4, "api_processes means nothing in a drain cell, only in steady"),
        ("drain", "offered_load = 5", 4, "offered_load means nothing in a drain cell"),
        ("drain", "duration_s = 5", 4, "duration_s belongs to steady and capacity cells"),
        ("drain", "event = 5", 4, "unknown name 'event'; did you mean 'events'?"),
        ("drain", "events = 10", 4, "events = 10 is impossible"),
        ("drain", "fixed = { consumers = 4 }\nevents = 20_000", 5, "too few for drain-p3-c4: at least 40000"),
        ("drain", "fixed = { write_concern = '0' }", 4, "write_concern = '0' is impossible"),
        ("drain", "fixed = { event_mix = { a = 0 } }", 4, "at least one weight has to be above 0"),
        ("drains", "", 3, "kind = 'drains' is none: a cell's kind is one of 'drain', 'steady', 'capacity'"),
        ("steady", "", 2, "a steady cell needs offered_load"),
        ("steady", "offered_load = 5\nstart_load = 5", 5, "start_load belongs to capacity cells"),
        ("capacity", "", 2, "start_load is a share of what a drain reached, and no cell is a drain"),
        ("capacity", "start_load = 5\nfixed = { offered_load = 5 }", 5, "offered_load means nothing in a capacity"),
        ("capacity", "start_load = 0", 4, "start_load = 0 is impossible: events/s above 0"),
        ("capacity", "start_load = 5\nduration_s = 4", 5, "duration_s = 4 is too short for a probe: at least 8"),
        ("capacity", "start_load = 5\nmax_probes = 2", 5, "max_probes = 2 is impossible"),
        ("capacity", "start_load = 5\nobjective = { p99 = 5 }", 5, "objective = {'p99': 5} is impossible: a table"),
        ("steady", "offered_load = 0", 4, "offered_load = 0 is impossible"),
        ("steady", "events = 2000\noffered_load = 5", 4, "events belongs to drain cells"),
        ("steady", "\noffered_load = { share_of_drain = 0.5 }", 2, "no cell is a drain: add a [[cells]]"),
        ("steady", "offered_load = 1\nduration_s = 0", 5, "duration_s = 0 is impossible: seconds, 1 to 86400"),
        ("steady", "offered_load = 1\nfixed = { acks = 1 }", 5, "acks = 1 is impossible: 'all', '1' or '0', in quotes"),
        ("steady", "offered_load = 1\nfixed = { payload_bytes = 9000 }", 5, "[traffic] batch_max_events = 440"),
    ],
)
def test_a_mistake_in_a_cell_is_reported_with_its_line(kind: str, lines: str, line: int, said: str) -> None:
    found_line, text = only_problem_of(f'[[cells]]\nkind = "{kind}"\n{lines}\n')
    assert said in text
    assert found_line == line


def test_a_payload_beyond_the_api_s_limit_for_one_event_is_refused() -> None:
    cells = '[[cells]]\nkind = "steady"\noffered_load = 1\nfixed = { payload_bytes = 9_000 }'
    with pytest.raises(MatrixError, match="payload_bytes = 9000 is too large for the API: up to 7488"):
        matrix.parse(f'name = "mine"\n{cells}', "mine.toml", api=Api(max_event_bytes=8_000))


def test_a_second_block_s_line_is_found_behind_comments_and_strings_that_look_alike() -> None:
    text = DRAIN + '# [[cells]]\n[[cells]]\nkind = "steady"  # fixed = { linger_ms = -1 }\nfixed = { linger_ms = -1 }\n'
    line, said = only_problem_of(text + "offered_load = 1\n")
    assert "linger_ms = -1 is impossible" in said
    assert line == 11


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_lines() -> None:
    wrong = STEADY.replace("duration_s = 4", "duration = 4")
    wrong += "[bounds]\nunsend = 1\n"  # looked at before the cells are
    problems = problems_of(DRAIN.replace("[1, 3]", "[0, -3]") + wrong, 'name = "mine"\nround = 2')
    assert [line for line, _ in problems] == sorted(line for line, _ in problems)
    assert [text.split(" ")[0:3] for _, text in problems] == [
        ["unknown", "name", "'round';"],
        ["partitions", "=", "0"],
        ["partitions", "=", "-3"],
        ["unknown", "name", "'duration';"],
        ["unknown", "name", "'unsend';"],
    ]


def test_a_cell_that_is_there_twice_is_refused_with_both_lines() -> None:
    line, text = only_problem_of(DRAIN + DRAIN.replace("[1, 3]", "[3]").replace("[1, 2, 4]", "[2]"))
    assert line == 9
    assert "the cell drain-p3-c2-batch500 is there already, from line 3" in text


def test_durability_differs_only_as_an_axis() -> None:
    other = '[[cells]]\nkind = "drain"\n{} = {{ write_concern = {} }}\n'
    line, text = only_problem_of(DRAIN + other.format("fixed", "'1'"))
    assert line == 10
    assert "durability is equal in all cells, unless it is under axes" in text
    assert [cell.write_concern for cell in read(DRAIN + other.format("axes", "['1']")).cells][-1] == "1"


def test_a_codec_that_is_not_there_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = '[[cells]]\nkind = "steady"\noffered_load = 1\nfixed = { compression = "gzip" }'
    assert read(cells).cells[0].compression == "gzip"
    monkeypatch.setattr(codec, "has_gzip", lambda: False)
    line, text = only_problem_of(cells)
    assert line == 5
    assert "install cramjam" in text


def test_no_cells_is_an_error() -> None:
    assert "there are no cells" in only_problem_of("")[1]
    assert "there are no cells" in only_problem_of("", 'name = "mine"\ncells = 3')[1]


def test_too_many_cells_are_refused_before_they_are_made() -> None:
    many = ", ".join(str(number) for number in range(1, 60))
    line, text = only_problem_of(f'[[cells]]\nkind = "drain"\naxes = {{ partitions = [{many}], consumers = [{many}] }}')
    assert line == 2
    assert "3481 cells, more than 1000" in text


@pytest.mark.parametrize(
    ("top", "cells", "line", "name"),
    [
        (
            'name = "mine"\n[bounds]\nschedule_delay_p99_ms = inf',
            "[[cells]]\nkind = 'drain'",
            3,
            "schedule_delay_p99_ms",
        ),
        ('name = "mine"\n[traffic]\nkey_skew = nan', "[[cells]]\nkind = 'drain'", 3, "key_skew"),
        ('name = "mine"', "[[cells]]\nkind = 'drain'\nfixed = { event_mix = { page_view = inf } }", 4, "page_view"),
        ('name = "mine"', "[[cells]]\nkind = 'drain'\nfixed = { event_mix = { page_view = 1e308 } }", 4, "page_view"),
        ('name = "mine"', "[[cells]]\nkind = 'steady'\noffered_load = 1e999", 4, "offered_load"),
        ('name = "mine"', "[[cells]]\nkind = 'drain'\naxes = { key_skew = [0.0, -inf] }", 4, "key_skew"),
    ],
)
def test_no_number_is_infinite_or_none(top: str, cells: str, line: int, name: str) -> None:
    at, text = only_problem_of(cells, top)
    assert at == line
    assert text.startswith(f"{name} = ")


@pytest.mark.parametrize("name", ["..", ".", "-x", "a" * 61, "a/b", "a\\n", ""])
def test_a_name_that_makes_no_folder_is_refused_with_its_line(name: str) -> None:
    line, text = only_problem_of(DRAIN, f'# mine\nname = "{name}"')
    assert line == 2
    assert text.startswith("name = ")


@pytest.mark.parametrize(("nodes", "taken"), [(1, False), (2, False), (3, True), (None, True)])
def test_a_write_concern_of_more_nodes_than_there_are_is_refused_with_its_line(nodes: int | None, taken: bool) -> None:  # noqa: FBT001 - pytest's way
    text = 'name = "mine"\n[[cells]]\nkind = "drain"\naxes = { write_concern = ["1", "3"] }'
    if taken:
        assert len(matrix.parse(text, "mine.toml", nodes=nodes, stack=None).cells) == 2
        return
    with pytest.raises(MatrixError, match=r"mine.toml:4: write_concern = '3' waits for 3 nodes"):
        matrix.parse(text, "mine.toml", nodes=nodes, stack=None)
