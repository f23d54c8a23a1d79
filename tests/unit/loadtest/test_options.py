"""The options: what they mean, and that what cannot be is refused with a remedy."""

import argparse
import json
from pathlib import Path

import pytest

from loadtest import _options
from pipeline.errors import UsageError
from traffic.ledger import path_of
from traffic.spec import LoadSpec, Traffic


def read(*arguments: str) -> _options.Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    _options.register(parser)
    return _options.read(parser.parse_args(arguments))


def _options_of_ours() -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    _options.register(parser)
    return parser._actions


NUMBERS_WITHOUT_DEFAULT = {
    option.removeprefix("--").replace("-", "_")
    for option, field, _ in (*_options._TRAFFIC_OPTIONS, *_options._SHAPE_OPTIONS)
    if field != "event_mix"
}


def test_without_options_the_documented_defaults_hold() -> None:
    options = read()
    assert options.spec == LoadSpec()
    assert (options.senders, options.unsent_after_s, options.request_timeout_s) == (512, 10, 15)


def test_the_load_is_what_the_options_say() -> None:
    options = read(
        *("--scenario", "sdk", "--offered-load", "2500", "--arrivals", "constant", "--profile", "spike"),
        *("--duration", "60", "--seed", "7", "--run-number", "3", "--spike-factor", "10", "--profile-period", "20"),
    )
    spec = options.spec
    assert (spec.scenario, spec.offered_load_events_per_s, spec.arrivals, spec.profile) == (
        "sdk",
        2500,
        "constant",
        "spike",
    )
    assert (spec.duration_s, spec.seed, spec.run) == (60, 7, 3)
    assert (spec.profile_shape.spike_factor, spec.profile_shape.period_s) == (10, 20)


def test_a_traffic_file_is_read_and_an_option_wins_over_it(tmp_path: Path) -> None:
    path = tmp_path / "traffic.json"
    path.write_text(json.dumps({"users": 5, "key_skew": 0.3, "event_mix": [["page_view", 1], ["refund", 2]]}))
    traffic = read("--traffic", str(path), "--key-skew", "0.7").spec.traffic
    assert traffic == Traffic(users=5, key_skew=0.7, event_mix=(("page_view", 1.0), ("refund", 2.0)))


def test_the_event_mix_is_written_as_pairs() -> None:
    assert read("--event-mix", "a=1, b=0.5").spec.traffic.event_mix == (("a", 1.0), ("b", 0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--offered-load", "-5"], "--offered-load=-5.0 cannot be used"),
        (["--duration", "-1"], "--duration=-1.0 cannot be used"),
        (["--run-number", "16384"], "--run-number=16384 cannot be used: write a whole number from 0 to 16,383"),
        (["--key-skew", "2"], "--key-skew='2' cannot be used: write a number from 0 to 1"),
        (["--payload-bytes", "big"], "--payload-bytes='big' cannot be used: write a whole number from 0 to 60,000"),
        (["--event-mix", "page_view"], "write TYPE=WEIGHT"),
        (["--event-mix", "page_view=much"], "--event-mix"),
        (["--event-mix", "a=0"], "at least one weight above 0"),
        (["--event-mix", "page_view=inf"], "--event-mix='page_view=inf' cannot be used: write TYPE=WEIGHT"),
        (["--event-mix", "page_view=nan"], "--event-mix='page_view=nan' cannot be used: write TYPE=WEIGHT"),
        (["--event-mix", "page_view=1e300"], "--event-mix='page_view=1e300' cannot be used"),
        (["--event-mix", "=1"], "a type has from 1 to 200 characters"),
        (["--host", "localhost:8000"], "does not begin with http:// or https://; write http://localhost:8000"),
        (["--host", ""], "--host='' cannot be used"),
        (["--write-key", "schlüssel"], "--write-key='...' cannot be used"),
        (["--ledger", "/dev/null"], "--ledger='/dev/null' cannot be used: no file can be written at /dev/null"),
        (["--event-mix", "a=1,a=2"], "names a type twice"),
        (["--batch-min", "600"], "batch_min_events=600 is above batch_max_events=500"),
        (["--spike-start", "0.9", "--spike-length", "0.2"], "is above 1"),
        (["--senders", "0"], "--senders=0 cannot be used"),
        (["--request-timeout", "0"], "--request-timeout=0.0 cannot be used"),
        (["--scenario", "replay"], "needs --replay-file"),
        (["--replay-file", "x"], "goes with --scenario replay"),
        (["--scenario", "replay", "--replay-file", "nowhere"], "cannot be read"),
        (["--traffic", "nowhere.json"], "nowhere.json cannot be read"),
    ],
)
def test_an_invalid_value_is_refused_with_the_option_the_value_and_the_remedy(
    arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert message in str(caught.value)


NUMBERS = [
    action.option_strings[0]
    for action in _options_of_ours()
    if action.type in (int, float) or (action.default == "" and action.dest in NUMBERS_WITHOUT_DEFAULT)
]


@pytest.mark.parametrize("option", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-1", "1" + "0" * 40])
def test_no_number_is_infinite_negative_or_absurd(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    # An option of whole numbers is refused by argparse, which exits with the same code.
    with pytest.raises((UsageError, SystemExit)) as caught:
        read(f"{option}={value}")
    said = str(caught.value) if isinstance(caught.value, UsageError) else capsys.readouterr().err
    assert option in said
    assert isinstance(caught.value, UsageError) or caught.value.code == UsageError.exit_code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "truncated"),
        ('{"user": 5}', "unknown field `user`"),
        ('{"users": 0}', "`int` >= 1"),
        ('{"batch_min_events": 600}', "above batch_max_events"),
    ],
)
def test_a_wrong_traffic_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "traffic.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read("--traffic", str(path))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_folder_with_a_ledger_is_not_written_into(tmp_path: Path) -> None:
    assert read("--ledger", str(tmp_path)).ledger_dir == str(tmp_path)
    path_of(tmp_path, 0).touch()
    with pytest.raises(UsageError, match="holds a ledger already"):
        read("--ledger", str(tmp_path))


def test_every_option_has_a_help_text() -> None:
    parser = argparse.ArgumentParser()
    _options.register(parser)
    assert all(action.help for action in parser._actions)
    assert "(default 0.01)" in parser.format_help().replace("\n", " ").replace("  ", " ")
