"""Servers as axes: what a matrix may say of them, in which order its stacks are started, what is recorded."""

from __future__ import annotations

import io
import itertools
import random

import pytest
from msgspec import structs
from rich.console import Console

from bench.errors import MatrixError
from bench.experiments import variants
from bench.experiments.variants import matrix_of
from bench.kinds import naming
from bench.kinds.drain import DrainCell
from bench.matrix import matrix, stackaxes
from bench.matrix.matrix import Matrix
from bench.observe.environment import describe
from bench.observe.kafkacounters import together as brokers_together
from bench.observe.mongocounters import together as members_together
from bench.run import manifest, plan
from bench.targets.cellsettings import settings_for
from bundle.errors import BundleError
from bundle.manifest import Manifest
from pipeline.errors import UsageError
from pipeline.local.stackspec import StackSpec
from pipeline.settings import Api, Settings

HEAD = 'name = "mine"\nrounds = 4\n'
DRAIN = '[[cells]]\nkind = "drain"\n'
VARIED = HEAD + DRAIN + "axes = { consumers = [1, 2], brokers = [1, 3], mongo_members = [1, 3] }\n"
SHARED = VARIED + '[[cells]]\nkind = "steady"\noffered_load = { share_of_drain = 0.5 }\naxes = { brokers = [1, 3] }\n'
THREADS = HEAD + '[servers]\nkafka."num.io.threads" = [2, 8]\nmongod.ttlMonitorEnabled = false\n' + DRAIN


def problems(text: str, **options: object) -> str:
    with pytest.raises(MatrixError) as caught:
        matrix.parse(text, "mine.toml", **options)
    return str(caught.value)


def starts(wanted: Matrix) -> list[StackSpec | None]:
    """Each time that servers are started, which ones."""
    return [stack for stack, _ in itertools.groupby(each.cell.stack for each in plan.order(wanted))]


def test_copies_follow_the_brokers_unless_they_are_given() -> None:
    text = HEAD + DRAIN + "axes = { brokers = [1, 3, 5] }\n" + DRAIN + "axes = { brokers = [3], replication = [1] }\n"
    cells = matrix.parse(text, "mine.toml").cells
    assert [cell.replication for cell in cells] == [1, 3, 3, 1]
    assert [cell.id for cell in cells][1:] == [
        "drain-p3-c1-b3-rf3",
        "drain-p3-c1-b5-rf3",
        "drain-p3-c1-b3",
    ]


def test_what_is_not_varied_is_as_the_command_line_has_it() -> None:
    stack = StackSpec(brokers=3, coordination="zookeeper", mongo_members=3)
    (cell,) = matrix.parse(HEAD + DRAIN, "mine.toml", stack=stack).cells
    assert cell.stack == stack
    assert cell.replication == 3
    assert cell.id == "drain-p3-c1-b3-rf3-zookeeper-m3"


def test_a_cell_s_name_depends_on_the_cell_alone() -> None:
    (given,) = matrix.parse(HEAD + DRAIN + "fixed = { brokers = 3 }\n", "mine.toml").cells
    (by_command_line,) = matrix.parse(HEAD + DRAIN, "mine.toml", stack=StackSpec(brokers=3)).cells
    assert given.id == by_command_line.id


def test_each_setting_of_servers_is_an_axis_of_its_own() -> None:
    two, eight = matrix.parse(THREADS, "mine.toml").cells
    assert two.stack == StackSpec(kafka=(("num.io.threads", 2),), mongod=(("ttlMonitorEnabled", False),))
    assert two.id == "drain-p3-c1-kafka.num.io.threads2-mongod.ttlMonitorEnabledfalse"
    assert [naming.axes_of(cell)["kafka.num.io.threads"] for cell in (two, eight)] == [2, 8]


def test_settings_may_be_written_without_quotes() -> None:
    assert matrix.parse(THREADS.replace('"num.io.threads"', "num.io.threads"), "mine.toml").cells == (
        matrix.parse(THREADS, "mine.toml").cells
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + DRAIN + "fixed = { replication = 3 }\n", "mine.toml:5: replication = 3 needs 3 brokers"),
        (HEAD + DRAIN + "axes = { mongo_members = [1, 2] }\n", "mine.toml:5: mongo_members = 2 is an even number"),
        (HEAD + DRAIN + "axes = { brokers = [2] }\n", "mine.toml:5: brokers = 2 is an even number"),
        (THREADS.replace("num.io.threads", "num.io.thread"), "mine.toml:3: Kafka 4.3.1 has no setting"),
        (THREADS.replace("num.io.threads", "log.dirs"), "mine.toml:3: kafka.'log.dirs' is not yours to set"),
        (THREADS.replace("[2, 8]", "[2, 2]"), "has 2 twice"),
        (THREADS.replace("[2, 8]", "[]"), "has no value"),
        (THREADS.replace("[2, 8]", "[[2]]"), "is impossible: a number, true, false, or text"),
        (THREADS.replace("mongod.", "mongo."), "unknown name 'mongo'; did you mean 'mongod'?"),
        (THREADS.replace("num.io.threads", "min.insync.replicas"), "min.insync.replicas = 2 is more than the 1 copies"),
        (HEAD + "servers = 3\n" + DRAIN, "servers is a table"),
    ],
)
def test_servers_that_cannot_be_are_refused_with_their_line(text: str, words: str) -> None:
    assert words in problems(text)


def test_a_write_may_wait_for_as_many_nodes_as_the_cell_has_members() -> None:
    text = HEAD + DRAIN + "fixed = { write_concern = '3', mongo_members = 3 }\n"
    assert len(matrix.parse(text, "mine.toml").cells) == 1
    assert "only 1 node holds data" in problems(text.replace("mongo_members = 3", "mongo_members = 1"))


def test_copies_are_durability_and_differ_only_where_they_are_varied() -> None:
    text = HEAD + DRAIN + "fixed = { brokers = 1 }\n" + DRAIN + "fixed = { brokers = 3 }\n"
    assert "mine.toml:8: replication is 3 here and 1 from line 3 on: durability is equal" in problems(text)
    matrix.parse(text.replace("fixed = { brokers = 1 }", "axes = { brokers = [1] }"), "mine.toml")


@pytest.mark.parametrize("axis", ["brokers = 3", "replication = 3", "coordination = 'kraft'", "mongo_members = 3"])
def test_on_the_user_s_own_servers_their_axes_are_an_error_that_says_so(axis: str) -> None:
    found = problems(HEAD + DRAIN + f"fixed = {{ {axis} }}\n", stack=None)
    assert f"mine.toml:5: {axis.split(maxsplit=1)[0]} can be chosen only for servers that the bench starts" in found
    assert "PIPELINE_KAFKA_BOOTSTRAP_SERVERS" in found


def test_on_the_user_s_own_servers_nothing_of_them_can_be_set() -> None:
    assert "mine.toml:3: [servers] can be chosen only for servers that the bench starts" in problems(
        THREADS, stack=None
    )


def test_of_the_user_s_own_servers_nothing_is_claimed() -> None:
    (cell,) = matrix.parse(HEAD + DRAIN, "mine.toml", stack=None).cells
    assert cell.stack is None
    assert cell.id == "drain-p3-c1"
    assert [naming.axes_of(cell)[name] for name in ("brokers", "replication", "coordination", "mongo_members")] == [
        None
    ] * 4
    asked = structs.replace(Settings(), kafka=structs.replace(Settings().kafka, replication_factor=2))
    assert settings_for(asked, cell, "name").kafka.replication_factor == 2


def test_a_cell_s_topics_have_its_copies_and_enough_of_them_in_sync() -> None:
    text = HEAD + DRAIN + "axes = { brokers = [3], replication = [1, 2, 3] }\n"
    kafka = [settings_for(Settings(), cell, "name").kafka for cell in matrix.parse(text, "mine.toml").cells]
    assert [(each.replication_factor, each.min_insync_replicas) for each in kafka] == [(1, 1), (2, 1), (3, 2)]


def test_topics_leave_min_insync_replicas_to_the_brokers_where_that_is_varied() -> None:
    text = HEAD + '[servers]\nkafka."min.insync.replicas" = [1, 3]\n' + DRAIN + "fixed = { brokers = 3 }\n"
    kafka = [settings_for(Settings(), cell, "name").kafka for cell in matrix.parse(text, "mine.toml").cells]
    assert [(each.replication_factor, each.min_insync_replicas) for each in kafka] == [(3, 0), (3, 0)]


@pytest.mark.parametrize("seed", range(10))
def test_each_stack_is_started_once_a_round_and_the_last_one_goes_on_into_the_next(seed: int) -> None:
    wanted = structs.replace(matrix.parse(VARIED, "mine.toml"), seed=seed)
    stacks = len(stackaxes.stacks_of(wanted.cells))
    assert stacks == 4
    assert len(starts(wanted)) == wanted.rounds * (stacks - 1) + 1


def test_every_round_still_has_every_cell_once() -> None:
    wanted = matrix.parse(VARIED, "mine.toml")
    for number in range(1, 5):
        cells = [planned.cell.id for planned in plan.order(wanted) if planned.round == number]
        assert sorted(cells) == sorted(cell.id for cell in wanted.cells)


def test_which_stack_comes_first_and_which_cell_on_it_is_random() -> None:
    wanted = structs.replace(matrix.parse(VARIED, "mine.toml"), rounds=60)
    order = plan.order(wanted)
    rounds = [[each.cell for each in order if each.round == number] for number in range(1, 61)]
    assert (
        {cells[0].stack for cells in rounds} == {cells[-1].stack for cells in rounds} == {c.stack for c in wanted.cells}
    )
    firsts = {cells[0].id for cells in rounds}
    assert firsts == {cell.id for cell in wanted.cells}


def test_two_stacks_alternate_as_ab_ba() -> None:
    wanted = matrix.parse(HEAD + DRAIN + "axes = { brokers = [1, 3] }\n", "mine.toml")
    order = [each.cell.brokers for each in plan.order(wanted)]
    assert order in ([1, 3, 3, 1, 1, 3, 3, 1], [3, 1, 1, 3, 3, 1, 1, 3])


@pytest.mark.parametrize("seed", range(10))
def test_in_round_1_all_stacks_drain_before_the_cells_that_need_that(seed: int) -> None:
    order = plan.order(structs.replace(matrix.parse(SHARED, "mine.toml"), seed=seed))
    kinds = [each.cell.kind for each in order if each.round == 1]
    assert kinds == ["drain"] * 8 + ["steady"] * 2


def test_one_stack_changes_nothing_in_the_order_of_a_seed() -> None:
    wanted = matrix.parse(HEAD + DRAIN + "axes = { partitions = [1, 2, 3, 4] }\n", "mine.toml")
    expected = []
    for number in range(1, wanted.rounds + 1):
        cells = list(wanted.cells)
        random.Random(f"{wanted.seed}/{number}").shuffle(cells)  # noqa: S311 - an order, and no secret
        expected += cells
    assert [each.cell for each in plan.order(wanted)] == expected


def test_the_time_of_a_plan_counts_every_start() -> None:
    one = matrix.parse(HEAD + DRAIN + "axes = { consumers = [1, 2] }\n", "mine.toml")
    two = matrix.parse(HEAD + DRAIN + "axes = { brokers = [1, 3] }\n", "mine.toml")
    assert plan.whole_s(two) > plan.whole_s(one) + 4 * plan.SERVERS_START_AND_STOP_S


@pytest.mark.parametrize(
    ("cells", "tried"),
    [
        ("fixed = { brokers = 3 }", []),  # one stack: it is started at once
        ("axes = { brokers = [1, 3], coordination = ['kraft', 'zookeeper'], mongo_members = [1, 3] }", []),
    ],
)
def test_numbers_of_servers_need_no_trial(cells: str, tried: list[StackSpec]) -> None:
    given = HEAD + '[servers]\nkafka."num.io.threads" = 2\n' if "fixed" in cells else HEAD
    assert list(stackaxes.untried(matrix.parse(given + DRAIN + cells, "mine.toml").cells)) == tried


def test_each_value_that_the_first_stack_does_not_show_is_tried_once_on_the_fewest_servers() -> None:
    axes = "axes = { brokers = [3, 1], mongo_members = [1, 3] }\n"
    cells = matrix.parse(THREADS + axes, "mine.toml").cells
    assert cells[0].stack == StackSpec(3, "kraft", 1, (("num.io.threads", 2),), (("ttlMonitorEnabled", False),))
    eight = StackSpec(kafka=(("num.io.threads", 8),), mongod=(("ttlMonitorEnabled", False),))
    assert stackaxes.untried(cells) == (eight,)


def test_each_version_of_kafka_is_asked_whether_it_takes_a_value() -> None:
    text = (
        HEAD + '[servers]\nkafka."num.io.threads" = 2\n' + DRAIN + "axes = { coordination = ['kraft', 'zookeeper'] }\n"
    )
    assert stackaxes.untried(matrix.parse(text, "mine.toml").cells) == (
        StackSpec(coordination="zookeeper", kafka=(("num.io.threads", 2),)),
    )


def test_of_the_user_s_own_servers_nothing_is_tried() -> None:
    assert stackaxes.untried(matrix.parse(HEAD + DRAIN, "mine.toml", stack=None).cells) == ()


def test_the_plan_says_what_is_started_once_more_and_counts_it() -> None:
    wanted = matrix.parse(THREADS, "mine.toml")
    repeats = plan.order(wanted)
    assert plan.trials_s(repeats) == plan.SERVERS_START_AND_STOP_S
    measuring_s = sum(plan.estimate_s(each.cell) for each in repeats)
    assert plan.whole_s(wanted) == pytest.approx(plan.starts_s(repeats) + plan.trials_s(repeats) + measuring_s)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(plan.describe(wanted))
    assert "1 of them started once more at the beginning, to see that they take their settings" in console.export_text()


def manifest_of(wanted: Matrix) -> Manifest:
    order = plan.order(wanted)
    return manifest.begin(
        wanted, order, run_id="r", environment=describe(), servers="local", command="c", started_at="now"
    )


def test_the_manifest_has_each_stack_with_its_cells_and_versions() -> None:
    wanted = matrix.parse(HEAD + DRAIN + "axes = { coordination = ['kraft', 'zookeeper'] }\n", "mine.toml")
    described = manifest_of(wanted)
    assert [(each.coordination, each.cells) for each in described.stacks] == [
        ("kraft", ("drain-p3-c1",)),
        ("zookeeper", ("drain-p3-c1-zookeeper",)),
    ]
    for coordination, kafka in (("kraft", "4.3.1"), ("zookeeper", "3.9.2")):
        spec = StackSpec(coordination=coordination)
        described = structs.replace(described, **manifest.with_stack(described, spec, {"kafka": kafka, "java": "25"}))
    assert [each.versions["kafka"] for each in described.stacks] == ["4.3.1", "3.9.2"]
    assert (described.versions["kafka"], described.versions["java"]) == ("4.3.1 and 3.9.2", "25")


def test_a_manifest_has_no_versions_of_servers_that_only_the_other_side_runs_on() -> None:
    base = matrix.parse(HEAD + DRAIN, "mine.toml")
    new = matrix_of(variants.read("new", "coordination=zookeeper"), base, Api())
    started = {
        StackSpec(): {"kafka": "4.3.1"},
        StackSpec(coordination="zookeeper"): {"kafka": "3.9.2", "zookeeper": "3.8.4"},
    }
    for side, kafka, zookeeper in ((base, "4.3.1", None), (new, "3.9.2", "3.8.4")):
        described = manifest_of(side)
        for spec, versions in started.items():
            described = structs.replace(described, **manifest.with_stack(described, spec, versions))
        assert (described.versions["kafka"], described.versions.get("zookeeper")) == (kafka, zookeeper)


def test_a_run_goes_on_with_the_servers_that_it_began_with() -> None:
    stack = StackSpec(brokers=3, mongo_members=3)
    described = manifest_of(matrix.parse(HEAD + DRAIN + "axes = { brokers = [1, 3] }\n", "mine.toml", stack=stack))
    assert manifest.base_stack(described) == stack
    manifest.expect_the_same_servers(described, local=True)
    with pytest.raises(BundleError, match="name the servers that it began on"):
        manifest.expect_the_same_servers(described, local=False)


def test_a_stack_can_be_one_side_of_a_comparison() -> None:
    wanted = matrix.parse(HEAD + DRAIN, "mine.toml")
    (cell,) = matrix_of(variants.read("new", "brokers=3"), wanted, Api()).cells
    assert (cell.id, cell.brokers, cell.replication) == ("drain-p3-c1", 3, 3)
    with pytest.raises(MatrixError, match="even number"):
        matrix_of(variants.read("new", "mongo_members=2"), wanted, Api())
    with pytest.raises(UsageError):
        variants.read("new", "PIPELINE_LOCAL_BROKERS=3")


@pytest.mark.parametrize(
    ("given", "stack"),
    [
        ('kafka."num.io.threads"=4', StackSpec(kafka=(("num.io.threads", 4),), mongod=(("ttlMonitorEnabled", False),))),
        ("kafka.num.io.threads = 2", StackSpec(kafka=(("num.io.threads", 2),), mongod=(("ttlMonitorEnabled", False),))),
        ("mongod.ttlMonitorEnabled=true", StackSpec(mongod=(("ttlMonitorEnabled", True),))),
        (
            "kafka.compression.type=lz4",
            StackSpec(kafka=(("compression.type", "lz4"),), mongod=(("ttlMonitorEnabled", False),)),
        ),
    ],
)
def test_a_setting_of_a_server_can_be_one_side_of_a_comparison(given: str, stack: StackSpec) -> None:
    wanted = matrix.parse(HEAD + "[servers]\nmongod.ttlMonitorEnabled = false\n" + DRAIN, "mine.toml")
    variant = variants.read("new", given)
    (cell,) = matrix_of(variant, wanted, Api()).cells
    assert (cell.id, cell.stack) == (wanted.cells[0].id, stack)
    again = structs.replace(variant, given="as the manifest has it")
    assert matrix_of(again, wanted, Api()).cells == (cell,)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("kafka.num.io.thread=2", MatrixError, "has no setting 'num.io.thread'"),
        ("kafka.log.dirs=elsewhere", MatrixError, "is not yours to set"),
        ("kafka.num.network.threads=[1, 2]", MatrixError, "is impossible: a number, true, false, or text"),
        ("mongod.ttlMonitorSleepSecs=1e300", MatrixError, "cannot be used: write a number of at most"),
        ("mongod.--port=1", MatrixError, "is no parameter of mongod"),
        ("kafka.num.io.threads=4", UsageError, "it varies among the cells of 'mine'; give it one value there"),
        ("kafka.=4", UsageError, "settings begin with PIPELINE_, kafka. or mongod."),
    ],
)
def test_a_setting_of_a_server_that_cannot_be_compared_is_refused(given: str, error: type, says: str) -> None:
    with pytest.raises(error) as caught:
        matrix_of(variants.read("new", given), matrix.parse(THREADS, "mine.toml"), Api())
    assert says in str(caught.value)


def test_on_the_user_s_own_servers_none_of_their_settings_can_be_compared() -> None:
    with pytest.raises(MatrixError, match="can be chosen only for servers that the bench starts"):
        matrix_of(
            variants.read("new", "kafka.num.io.threads=4"), matrix.parse(HEAD + DRAIN, "mine.toml", stack=None), Api()
        )


def test_counters_of_brokers_are_added_and_their_handlers_idle_time_is_a_mean() -> None:
    one = {"bytes_in": 1.0, "messages_in": 10.0, "handlers_idle_ns": 4.0, "request_queue": 3.0}
    other = {"bytes_in": 2.0, "messages_in": 20.0, "handlers_idle_ns": 8.0, "request_queue": 1.0}
    added = brokers_together([one, other])
    assert added == {"bytes_in": 3.0, "messages_in": 30.0, "handlers_idle_ns": 6.0, "request_queue": 3.0}


def test_counters_of_members_are_added_and_levels_are_the_highest() -> None:
    one = {"inserts": 10.0, "journal_sync_us": 4.0, "queued_writers": 1.0, "cache_max_bytes": 9.0}
    other = {"inserts": 0.0, "journal_sync_us": 8.0, "queued_writers": 5.0, "cache_max_bytes": 9.0}
    added = members_together([one, other])
    assert added == {"inserts": 10.0, "journal_sync_us": 6.0, "queued_writers": 5.0, "cache_max_bytes": 9.0}


def test_a_cell_of_no_matrix_runs_on_the_smallest_stack() -> None:
    assert DrainCell(id="x").stack == StackSpec()
