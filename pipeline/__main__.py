"""The command line: ``./tidemark COMMAND``."""
# ruff: noqa: T201  a command line prints

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import os
import sys
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from pipeline import logs
from pipeline import settings as pipeline_settings
from pipeline.errors import TidemarkError, UsageError
from pipeline.folders import unusable
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.commands.deadletters import DeadLetter

INTERRUPTED = 130
CRASHED = 3
_MOST_FOUND = 10_000
_MOST_SERVERS = 7
_STACK = ("brokers", "coordination", "mongo_members")
_OTHER_FOLDERS = "choose others with PIPELINE_LOCAL_CACHE_DIR, PIPELINE_LOCAL_DATA_DIR or --logs, then start again"

_EPILOG = """\
settings
  Every setting is an environment variable PIPELINE_<SECTION>_<FIELD>, or a field of a TOML file
  named by --settings or PIPELINE_SETTINGS_FILE. The environment wins over the file.

exit codes
  0 passed   1 something was found (check: a part has a problem; replay: a letter was not sent)
  2 bad usage or a missing part   3 a crash of Tidemark   130 interrupted
"""

_EXAMPLES = {
    "up": """\
examples
  ./tidemark up                                 everything, on ports 8000, 8010, 9092 and 27017
  ./tidemark up --workers 3 --api-processes 2
  ./tidemark up --brokers 3 --mongo-members 3                   three copies of every event, and elections
  ./tidemark up --coordination zookeeper                        Kafka 3.9 with ZooKeeper on port 2181
  ./tidemark up --api-port 0 --dashboard-port 0 --kafka-port 0 --mongo-port 0      any free ports
  PIPELINE_LOCAL_DATA_DIR=~/tidemark PIPELINE_LOCAL_KEEP_DATA=true ./tidemark up
  PIPELINE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 PIPELINE_MONGO_URI=mongodb://db:27017 \\
      ./tidemark up                             only API, workers and dashboard, on your own servers
""",
    "api": """\
examples
  ./tidemark api
  PIPELINE_API_PORT=8080 PIPELINE_API_PROCESSES=2 ./tidemark api
""",
    "worker": """\
examples
  ./tidemark worker
  PIPELINE_WORKER_GROUP_ID=second_group ./tidemark worker       reads every event again
""",
    "dashboard": """\
examples
  ./tidemark dashboard                          prints a link with a new token
  PIPELINE_DASHBOARD_TOKEN=... ./tidemark dashboard
  PIPELINE_DASHBOARD_AGGREGATE=false ./tidemark dashboard       shows what another one counts
""",
    "init": """\
examples
  ./tidemark init                               you can run it again at any time
  PIPELINE_KAFKA_PARTITIONS=6 ./tidemark init --grow
""",
    "check": """\
examples
  ./tidemark check
  ./tidemark check --no-api                     only the servers
""",
    "find": """\
examples
  ./tidemark find                                       the newest 20 events
  ./tidemark find '{"user_id": "123"}'
  ./tidemark find '{"event_type": "page_view", "props.url": "/home"}' --limit 5
  ./tidemark find '{"timestamp": {"$gte": {"$date": "2026-01-01T00:00:00Z"}}}' --sort timestamp
  ./tidemark find --sort=-props.price,user_id
""",
    "dead-letters": """\
examples
  ./tidemark dead-letters list --limit 20
  ./tidemark dead-letters replay --dry-run      shows what would be sent, and to which topic
  ./tidemark dead-letters replay                continues after the last replay
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Only here do errors become messages and exit codes."""
    try:
        options = _parser().parse_args(_with_falling_order(sys.argv[1:] if arguments is None else arguments))
        environment = dict(os.environ)
        if "settings" in options:
            environment[pipeline_settings.SETTINGS_FILE] = options.settings
        return _run(options, pipeline_settings.load(environment), environment)
    except TidemarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  the process's edge
        explained = unusable(error, "a folder", _OTHER_FOLDERS)
        if explained:
            print(f"error: {explained}", file=sys.stderr)
            return explained.exit_code
        traceback.print_exc()
        print("error: this is a bug of ours, please report it with the lines above", file=sys.stderr)
        return CRASHED


def _with_falling_order(arguments: Sequence[str]) -> list[str]:
    """Join ``--sort -timestamp`` into one argument, because argparse takes a value that begins with - for an option."""
    joined: list[str] = []
    for each in arguments:
        if joined and joined[-1] == "--sort" and each.startswith("-"):
            joined[-1] += f"={each}"
        else:
            joined.append(each)
    return joined


def _run(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    # Each command brings in what it needs: `check` starts without Sanic, a worker without rich.
    if options.command not in ("api", "worker", "dashboard"):
        # Our own messages say what the client library would print on stderr.
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    match options.command:
        case "up":
            return _up(options, settings, environment)
        case "api":
            from pipeline.ingest import serve  # noqa: PLC0415  see above

            logs.configure("aiokafka")
            return serve(settings)
        case "worker":
            from pipeline.worker import run  # noqa: PLC0415  see above

            logs.configure("aiokafka")
            return run(settings)
        case "dashboard":
            from pipeline import dashboard  # noqa: PLC0415  see above

            return dashboard.run(settings)
        case command:
            plain = {"init": _init, "check": _check, "find": _find, "dead-letters": _dead_letters}
            return plain[command](options, settings)


def _up(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    from pipeline.commands import up  # noqa: PLC0415  see _run

    api = settings.api
    if options.api_port is not None:
        api = structs.replace(api, port=options.api_port)
    if options.api_processes is not None:
        api = structs.replace(api, processes=options.api_processes)
    dashboard = settings.dashboard
    if options.dashboard_port is not None:
        dashboard = structs.replace(dashboard, port=options.dashboard_port)
    given = {name: value for name in _STACK if (value := getattr(options, name)) is not None}
    if given and up.names_own_servers(settings, environment):
        chosen = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{chosen} can be chosen only for servers that are started here, and yours are named")
    local = structs.replace(settings.local, keep_data=settings.local.keep_data or options.keep_data, **given)
    logs_dir = Path(options.logs).expanduser().resolve() if options.logs else None
    asked = up.UpOptions(
        options.workers,
        options.kafka_port,
        options.mongo_port,
        options.zookeeper_port,
        logs_dir=logs_dir,
        demo=not options.no_demo,
        dashboard=not options.no_dashboard,
    )
    return up.run(structs.replace(settings, api=api, dashboard=dashboard, local=local), asked, environment)


def _init(options: argparse.Namespace, settings: Settings) -> int:
    from pipeline import provision  # noqa: PLC0415  see _run

    print(f"Kafka at {settings.kafka.bootstrap_servers}")
    for topic in asyncio.run(provision.create_topics(settings.kafka, grow=options.grow)):
        done = "made" if topic.made else "was there" if topic.partitions == topic.found else "grown"
        less = f" of the {topic.wanted} wanted: --grow adds the others" if topic.partitions < topic.wanted else ""
        print(f"  topic {topic.name}: {done}, partitions: {topic.partitions}{less}")
    mongo = settings.mongo
    print(f"MongoDB at {mongo.shown_uri}, {mongo.database}.{mongo.collection}")
    for index in asyncio.run(provision.create_indexes(mongo)):
        print(f"  index {index.field}: {index.direction}: {'made' if index.made else 'was there'}")
    return 0


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from pipeline.commands import reachability  # noqa: PLC0415  see _run

    parts = asyncio.run(reachability.check(settings, with_api=not options.no_api))
    for part in parts:
        print(f"{'ok     ' if part.ok else 'NOT OK '} {part.name}: {part.seen}")
        if part.remedy:
            print(f"        {part.remedy}")
    faults = sum(not part.ok for part in parts)
    print("everything is as it should be" if not faults else f"{faults} of {len(parts)} parts need attention")
    return 1 if faults else 0


def _find(options: argparse.Namespace, settings: Settings) -> int:
    from pipeline.commands import finding  # noqa: PLC0415  see _run

    query = finding.read(options.filter, options.sort, options.limit)
    printed = asyncio.run(_print_found(finding.lines(settings.mongo, query)))
    mongo = settings.mongo
    more = "; --limit shows more" if printed == query.limit else ""
    # Not among the documents, so that a program can read those.
    print(f"{printed} of {mongo.database}.{mongo.collection} at {mongo.shown_uri}{more}", file=sys.stderr)
    return 0


async def _print_found(lines: AsyncIterator[str]) -> int:
    printed = 0
    async for line in lines:
        print(line)
        printed += 1
    return printed


def _dead_letters(options: argparse.Namespace, settings: Settings) -> int:
    from pipeline.commands import deadletters  # noqa: PLC0415  see _run

    topic = settings.kafka.dead_letter_topic
    if options.action == "list":
        found = asyncio.run(deadletters.listing(settings, options.limit))
        for letter in found.letters:
            print(_letter_line(letter, options.width))
        print(f"{len(found.letters)} of {found.total} dead letters in {topic}")
        return 0
    done = asyncio.run(deadletters.replay(settings, options.limit, dry_run=options.dry_run, again=options.again))
    verb = "would be sent" if options.dry_run else "sent"
    for letter in done.sent:
        print(f"{verb} to {letter.origin_topic}: {_letter_line(letter, options.width)}")
    for letter, why in done.held_back:
        print(f"NOT sent, {why}: {_letter_line(letter, options.width)}")
    print(f"{len(done.sent)} {verb}, {len(done.held_back)} held back, {done.left} more in {topic}")
    return 1 if done.held_back else 0


def _letter_line(letter: DeadLetter, width: int) -> str:
    when = dt.datetime.fromtimestamp(letter.timestamp_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
    value = "(no value)" if letter.value is None else letter.value.decode(errors="replace")
    if len(value) > width:
        value = f"{value[:width]}... ({len(letter.value or b'')} bytes)"
    origin = f"{letter.origin_topic}/{letter.origin_partition}@{letter.origin_offset}"
    replayed = "  (replayed)" if letter.replayed else ""
    reason = f"{letter.reason} ({letter.detail})" if letter.detail else letter.reason
    return f"{when}  {origin}  {reason}  {value!r}{replayed}"


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    # Suppressed: where a command has commands of its own, the inner default would undo the outer value.
    common.add_argument("--settings", metavar="FILE", default=argparse.SUPPRESS, help="a TOML file with settings")
    parser = argparse.ArgumentParser(
        "./tidemark",
        description="The pipeline: events go over HTTP into Kafka, and from Kafka into MongoDB.",
        epilog="`./tidemark COMMAND --help` has examples.\n\n" + _EPILOG,
        formatter_class=plain,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        epilog = f"{_EXAMPLES[name]}\n{_EPILOG}"
        return commands.add_parser(
            name, help=words, description=words, epilog=epilog, formatter_class=plain, parents=[common]
        )

    up = command("up", "run the whole pipeline on this machine, until Ctrl-C")
    up.add_argument("--workers", type=_count, default=1, help="number of worker processes (default: 1)")
    up.add_argument("--api-processes", type=_count, help="number of API processes (default: PIPELINE_API_PROCESSES, 1)")
    up.add_argument("--api-port", type=_port, help="port of the API (default: PIPELINE_API_PORT, 8000)")
    up.add_argument("--kafka-port", type=_port, default=9092, help="port of Kafka; 0: any free one (default: 9092)")
    up.add_argument("--mongo-port", type=_port, default=27017, help="port of MongoDB; 0: any free one (default: 27017)")
    up.add_argument(
        "--zookeeper-port", type=_port, default=2181, help="port of ZooKeeper; 0: any free one (default: 2181)"
    )
    brokers = "number of Kafka brokers, on the ports from --kafka-port (default: PIPELINE_LOCAL_BROKERS, 1)"
    up.add_argument("--brokers", type=_servers, metavar="N", help=brokers)
    coordination = "what coordinates the brokers: themselves, or ZooKeeper with Kafka 3.9 (default: kraft)"
    up.add_argument("--coordination", choices=("kraft", "zookeeper"), help=coordination)
    members = (
        "members of MongoDB's replica set, on the ports from --mongo-port (default: PIPELINE_LOCAL_MONGO_MEMBERS, 1)"
    )
    up.add_argument("--mongo-members", type=_servers, metavar="N", help=members)
    up.add_argument("--no-demo", action="store_true", help="do not serve the demonstration shop at /demo")
    port = "port of the dashboard; 0: any free one (default: PIPELINE_DASHBOARD_PORT, 8010)"
    up.add_argument("--dashboard-port", type=_port, help=port)
    up.add_argument("--no-dashboard", action="store_true", help="do not start the dashboard")
    up.add_argument("--keep-data", action="store_true", help="keep the servers' data when they stop")
    up.add_argument("--logs", metavar="DIR", help="folder for the logs (default: in the cache folder)")
    command("api", "run the API, until SIGTERM")
    command("worker", "run one worker, until SIGTERM")
    command("dashboard", "serve a page that shows traffic and the state of the pipeline, until SIGTERM")
    init = command("init", "create missing topics and indexes")
    init.add_argument("--grow", action="store_true", help="add partitions to topics that have too few")
    check = command("check", "check whether each part can be reached")
    check.add_argument("--no-api", action="store_true", help="do not check the API")
    find = command("find", "print stored events, one JSON document a line")
    find.add_argument("filter", metavar="FILTER", nargs="?", default="{}", help="a MongoDB filter, as JSON")
    find.add_argument("--limit", type=_found, metavar="N", default=20, help="print at most N events (default: 20)")
    order = "fields to sort by, separated by commas; a - before a field means descending (default: -timestamp)"
    find.add_argument("--sort", metavar="FIELDS", default="-timestamp", help=order)
    letters = command("dead-letters", "list messages that could not be stored, or send them again")
    actions = letters.add_subparsers(dest="action", required=True, metavar="list|replay")
    for name, words, limit in (
        ("list", "show the oldest dead letters", 100),
        ("replay", "send dead letters to their original topics", 1_000),
    ):
        action = actions.add_parser(name, help=words, description=words, parents=[common])
        action.add_argument("--limit", type=_count, default=limit, help=f"at most N letters (default: {limit})")
        action.add_argument("--width", type=_count, default=200, help="characters of a value to show (default: 200)")
        if name == "replay":
            action.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
            action.add_argument("--again", action="store_true", help="begin with the oldest, even if it was replayed")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a whole number, 1 or more")
    return int(text)


def _servers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_SERVERS:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a whole number from 1 to {_MOST_SERVERS}")
    return int(text)


def _found(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_FOUND:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: write a whole number from 1 to {_MOST_FOUND}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # noqa: PLR2004  what a port can be
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write a whole number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
