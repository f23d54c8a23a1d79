"""The account of every event of a system that does not report all of it: words in place of numbers."""

from __future__ import annotations

from bundle.reported import NOT_REPORTED, REPORTS
from bundle.result import Audit
from reports.tables import account

AUDIT = Audit(offered=10, accepted=10, stored=10, stored_accepted=10, compared=10)


def test_of_a_system_that_reports_all_of_it_nothing_is_left_out() -> None:
    assert [len(each.parts) for each in account.identities(AUDIT)] == [4, 4]
    assert NOT_REPORTED not in {number for _, number, _ in account.besides(AUDIT)}


def test_without_a_backlog_what_is_left_in_kafka_is_no_part_of_the_sum_and_said() -> None:
    _, second = account.identities(AUDIT, ("backlog",))
    assert [name for name, _ in second.parts] == ["stored (accepted)", "lost"]
    assert second.adds_up
    assert account.besides(AUDIT, ("backlog",))[-1] == ("dead-lettered, undrained", NOT_REPORTED, False)


def test_without_stamps_deliveries_twice_are_not_shown_as_none() -> None:
    shown = account.besides(AUDIT, ("stamps",))
    assert shown[-1] == ("delivered twice", NOT_REPORTED, False)
    assert "delivered twice (allowed)" not in [name for name, _, _ in shown]


def test_without_documents_the_second_identity_is_not_reported() -> None:
    assert [each.whole[0] for each in account.identities(AUDIT, REPORTS)] == ["offered"]
    (rest,) = account.besides(AUDIT, REPORTS)
    assert "lost" in rest[0]
    assert rest[1:] == (NOT_REPORTED, False)
