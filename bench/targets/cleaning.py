"""``bench clean``: remove what killed runs left on the user's servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from bench.targets import marks
from bench.targets.marks import Left, Living
from pipeline.errors import MissingPartError
from pipeline.settings import Settings

_MOST_SHOWN = 20


def clean(settings: Settings, say: Callable[[str], None], *, dry_run: bool) -> None:
    """Remove the topics, consumer groups and collections of every marked run that has ended.

    Nothing without a mark is touched, whatever its name is.

    Raises:
        MissingPartError, ProvisionError: a server does not answer, or refused.
    """
    try:
        asyncio.run(_clean(settings, say, dry_run=dry_run))
    except (PyMongoError, KafkaError, TimeoutError) as error:
        where = f"Kafka at {settings.kafka.bootstrap_servers} and MongoDB at {settings.mongo.shown_uri}"
        raise MissingPartError(f"{where} could not be cleaned: {error}; try again when both answer") from error


async def _clean(settings: Settings, say: Callable[[str], None], *, dry_run: bool) -> None:
    runs = {each.token: each for each in await asyncio.to_thread(marks.found_marks, settings.mongo)}
    found = await marks.leftovers(settings)
    ended = [token for token, each in runs.items() if not each.lives]
    to_remove = _of(found, ended.__contains__)
    _say_what_stays(found, runs, say)
    if not ended:
        say("there is nothing to clean")
        return
    for token in ended:
        say(f"{runs[token].run} ({runs[token].where}) has ended and left:")
        _say_names(_of(found, {token}.__contains__), say)
    if dry_run:
        say("nothing was removed: run it without --dry-run to remove this")
        return
    await marks.delete(settings, to_remove)
    await asyncio.to_thread(marks.forget, settings.mongo, ended)
    say(f"removed {_counted(to_remove)}")


def _say_what_stays(found: Left, runs: dict[str, Living], say: Callable[[str], None]) -> None:
    for each in runs.values():
        if each.lives:
            say(f"{each.run} ({each.where}) still runs: its data is not touched")
    unmarked = _of(found, lambda token: token not in runs)
    if unmarked:
        say("these have names like ours, but no run has a mark for them: they are not touched")
        _say_names(unmarked, say)


def _of(found: Left, wanted: Callable[[str], bool]) -> Left:
    def chosen(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if wanted(marks.token_of(name)))

    return Left(chosen(found.topics), chosen(found.groups), chosen(found.collections))


def _say_names(found: Left, say: Callable[[str], None]) -> None:
    kinds = (("topic", found.topics), ("consumer group", found.groups), ("collection", found.collections))
    named = [f"  {kind} {name}" for kind, names in kinds for name in names]
    for line in named[:_MOST_SHOWN]:
        say(line)
    if len(named) > _MOST_SHOWN:
        say(f"  and {len(named) - _MOST_SHOWN} more")
    if not named:
        say("  nothing but its mark")


def _counted(found: Left) -> str:
    parts = []
    for number, name in (
        (len(found.topics), "topic"),
        (len(found.groups), "group"),
        (len(found.collections), "collection"),
    ):
        parts.append(f"{number} {name}{'' if number == 1 else 's'}")
    return ", ".join(parts)
