"""The rates of what processes report: each over its own clock, together, and none of what was before the load."""

from loadtest._heard import Heard, Rates
from loadtest._messages import Progress
from traffic.counts import Counts

S = 1_000_000_000


def report(at_s: float, events: int, requests: int) -> Progress:
    return Progress(1, int(at_s * S), Counts(offered=events, accepted=events // 2, requests=requests))


def test_two_processes_with_different_clocks_add_up() -> None:
    heard = Heard()
    for second in range(4):
        heard.note(0, report(second, second * 100, second * 2), second * S)
        heard.note(1, report(5_000 + second, second * 60, second), second * S)
    assert heard.rates(3 * S) == Rates(160, 80, 3)


def test_the_time_before_the_load_does_not_count_for_the_rate() -> None:
    heard = Heard()
    for second, events in enumerate((0, 0, 0, 0, 100, 200)):
        heard.note(0, report(second, events, events), second * S)
    assert heard.rates(5 * S).offered == 100


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    heard = Heard()
    for second in range(40):
        events = 10 * second if second < 20 else 200 + 1_000 * (second - 20)
        heard.note(0, report(second, events, 0), second * S)
    assert heard.rates(39 * S).offered == 1_000


def test_a_process_that_went_silent_has_no_rate_until_the_test_is_over() -> None:
    heard = Heard()
    heard.note(0, report(0, 0, 0), 0)
    heard.note(0, report(1, 50, 1), S)
    assert heard.rates(20 * S) == Rates()
    assert heard.rates(None).offered == 50
    assert heard.newest(0) == Counts(offered=50, accepted=25, requests=1)


def test_there_are_no_rates_before_the_first_report() -> None:
    assert Heard().rates(0) == Rates()
    assert Heard().newest(0) is None
