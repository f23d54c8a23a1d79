"""Which topic an event goes to, and which ones are read."""

from __future__ import annotations

from pipeline.messages.topics import event_topics, topic_of
from pipeline.provision import wanted_topics
from pipeline.settings import Kafka


def test_a_listed_type_has_its_own_topic_and_any_other_the_generic_one() -> None:
    kafka = Kafka()
    assert topic_of("page_view", kafka) == "events_page_view"
    assert topic_of("signup", kafka) == "events_signup"
    assert topic_of("purchase", kafka) == "events_generic"
    assert topic_of("generic", kafka) == "events_generic"


def test_whatever_the_type_its_topic_is_one_that_workers_read() -> None:
    kafka = Kafka(topic_prefix="mine.", event_types=("a", "b", "a"), generic_type="rest")
    assert event_topics(kafka) == ("mine.a", "mine.b", "mine.rest")
    assert {topic_of(each, kafka) for each in ("a", "b", "rest", "", "../x")} <= set(event_topics(kafka))


def test_a_generic_type_that_is_listed_is_read_once() -> None:
    assert sorted(event_topics(Kafka(event_types=("generic", "signup")))) == ["events_generic", "events_signup"]


def test_dead_letters_have_a_topic_that_is_none_of_events() -> None:
    wanted = wanted_topics(Kafka(partitions=6))
    assert wanted == {"events_page_view": 6, "events_signup": 6, "events_generic": 6, "dead_letters": 1}
