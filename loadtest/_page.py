"""Locust's page, with our start form in front and a bar of events/s on top."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from flask import Blueprint, Response, jsonify, render_template, request
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner
from msgspec import Struct
from werkzeug.datastructures import ImmutableMultiDict

from loadtest import _messages, _options
from loadtest._background import in_thread
from loadtest._conductor import LOCAL, Conductor
from loadtest._member import Member
from pipeline.errors import SettingError, TidemarkError, UsageError

_FOLDER = Path(__file__).parent / "web"
# What a test is started with most often, in this order; all other options stay folded away.
_FIRST = ("offered_load", "duration", "scenario")
_UNITS = {"offered_load": "events/s", "duration": "seconds"}
_SPELLED = {"Url": "URL", "urls": "URLs", "zipf": "Zipf"}
_TITLES = {
    "the load": "More about the load: profile, arrivals, replay",
    "what the events are like": "What the events are like",
    "the generator": "The generator: rarely needed",
}
_SAMPLE_S = 1.0


class _Field(Struct, frozen=True):
    """One input of the start form."""

    name: str
    label: str
    help: str
    value: str
    choices: tuple[str, ...] = ()
    number: bool = False
    secret: bool = False


class LoadPage:
    """Our part of Locust's page."""

    def __init__(self, environment: Environment, conductor: Conductor, member: Member | None) -> None:
        """Extend the page of ``environment``; ``member``: that of this process, if it is the only one."""
        self._environment = environment
        self._conductor = conductor
        self._member = member
        web_ui: Any = environment.web_ui  # it has no types
        app = web_ui.app
        # Show options in the order of their registration, not in alphabetical order.
        app.json.sort_keys = False
        options = environment.parsed_options
        ours = Blueprint(
            "tidemark",
            __name__,
            url_prefix=(options.web_base_path if options else "") or None,
            template_folder=str(_FOLDER),
            static_folder=str(_FOLDER),
            static_url_path="/tidemark",
        )
        ours.add_url_rule("/tidemark/events", view_func=web_ui.auth_required_if_enabled(self._events))
        app.register_blueprint(ours)
        views = app.view_functions
        views["locust.index"] = self._index(views["locust.index"], web_ui.auth_required_if_enabled(self._form))
        views["locust.swarm"] = self._start(views["locust.swarm"])
        if member is not None:
            gevent.spawn(self._sample)

    def _index(self, locusts: Callable[[], Any], form: Callable[[], str]) -> Callable[[], Any]:
        def index() -> Any:
            if not self._runs() and (not self._conductor.tests or "new" in request.args):
                return form()
            page = locusts()
            if not isinstance(page, str):  # to the login
                return page
            return page.replace("</body>", f"{render_template('events.html')}</body>")

        return index

    def _start(self, locusts: Callable[[], Response]) -> Callable[[], Any]:
        def start() -> Any:
            try:
                request.form = self._checked(request.form.to_dict())
            except TidemarkError as error:
                return jsonify(success=False, message=str(error), host=self._environment.host)
            return locusts()

        return start

    def _checked(self, form: dict[str, str]) -> ImmutableMultiDict[str, str]:
        """Return the form as Locust needs it, with one user per sender.

        Raises:
            UsageError: a value cannot be used, or no test can be started now.
        """
        runner = self._environment.runner
        processes = runner.worker_count if isinstance(runner, MasterRunner) else 1
        if self._runs():
            raise UsageError("a test is running: stop it, then start another one")
        if not processes:
            raise UsageError("no worker has connected yet: start one with ./tidemark load --worker, or wait for it")
        form = {name: value for name, value in form.items() if value or not self._is_secret(name)}
        given: Any = copy.copy(self._environment.parsed_options)
        for action in _actions():
            if action.dest in form:
                setattr(given, action.dest, _value(action, form[action.dest]))
        if "host" in form:
            vars(given)["host"] = form["host"]
        new_ledger = not self._conductor.tests
        senders = in_thread(lambda: _options.read(given, new_ledger=new_ledger)).senders  # a replay's file takes long
        return ImmutableMultiDict({"user_count": str(senders * processes), "spawn_rate": "100", **form})

    def _form(self) -> str:
        options = self._environment.parsed_options
        fields = {action.dest: self._field(action) for action in _actions()}
        host = _Field("host", "Host", "The API to send to, as a URL.", self._host())
        return render_template(
            "start.html",
            first=[fields["offered_load"], host, *(fields[name] for name in _FIRST[1:])],
            groups=[
                (_TITLES[title], [fields[each.dest] for each in actions if each.dest not in _FIRST])
                for title, actions in _groups()
            ],
            senders=options.senders if options else 0,
            tests=self._conductor.tests,
            error=self._conductor.error,
        )

    def _field(self, action: argparse.Action) -> _Field:
        secret = self._is_secret(action.dest)
        value = "" if secret else getattr(self._environment.parsed_options, action.dest, "")
        words = action.option_strings[0].removeprefix("--").capitalize().split("-")
        label = " ".join(_SPELLED.get(word, word) for word in words)
        unit = _UNITS.get(action.dest)
        return _Field(
            name=action.dest,
            label=f"{label} ({unit})" if unit else label,
            help=action.help or "",
            value=f"{value:.15g}" if isinstance(value, float) else str(value),
            choices=tuple(action.choices or ()),
            number=action.type in (int, float),
            secret=secret,
        )

    def _is_secret(self, name: str) -> bool:
        return any(action.dest == name and vars(action)["is_secret"] for action in _actions())

    def _host(self) -> str:
        return self._environment.host or _options.DEFAULT_HOST

    def _events(self) -> Response:
        """What the bar shows."""
        conductor = self._conductor
        counts, rates, options = conductor.counts, conductor.rates, conductor.options
        given: Any = self._environment.parsed_options
        settled = counts.accepted + counts.rejected + counts.in_doubt + counts.unsent
        return jsonify(
            tests=conductor.tests,
            state=self._environment.runner.state if self._environment.runner else "",
            running=self._runs(),
            error=conductor.error,
            host=self._host(),
            offered_load=options.spec.offered_load_events_per_s if options else given.offered_load,
            profile=options.spec.profile if options else given.load_profile,
            counts={**_messages.pack(counts), "settled": settled, "delays": None},
            rates=_messages.pack(rates),
        )

    def _runs(self) -> bool:
        runner = self._environment.runner
        return runner is not None and runner.state in (STATE_SPAWNING, STATE_RUNNING)

    def _sample(self) -> None:
        """Report this process's counts, as other processes do."""
        while True:
            if self._member is not None and not self._conductor.over:
                self._conductor.note(LOCAL, self._member.progress())
            gevent.sleep(_SAMPLE_S)


def _groups() -> list[tuple[str, list[argparse.Action]]]:
    """Our options as the command line groups them."""
    parser = argparse.ArgumentParser(add_help=False)
    _options.register(parser)
    groups = [(group.title or "", group._group_actions) for group in parser._action_groups]  # noqa: SLF001 - no other way
    return [(title.removeprefix("Tidemark: "), actions) for title, actions in groups if title.startswith("Tidemark: ")]


def _actions() -> list[argparse.Action]:
    return [action for _, actions in _groups() for action in actions]


def _value(action: argparse.Action, text: str) -> Any:
    option = action.option_strings[0]
    if action.choices is not None and text not in action.choices:
        raise SettingError(option, text, f"choose one of {', '.join(action.choices)}")
    if not callable(action.type):
        return text
    try:
        return action.type(text)
    except ValueError as error:
        kind = "a whole number" if action.type is int else "a number"
        raise SettingError(option, text, f"write {kind}") from error
