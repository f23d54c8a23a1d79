"""Where a drain's backlog goes."""

from __future__ import annotations

import numpy as np
from aiokafka.partitioner import DefaultPartitioner

from bench.load.preload import Placement, Position
from pipeline.messages.topics import event_topics, topic_of
from pipeline.settings import Kafka
from traffic.content import Content
from traffic.spec import Traffic

KAFKA = Kafka(partitions=3)
TRAFFIC = Traffic(table_events=512, event_mix=(("page_view", 1.0), ("signup", 1.0), ("add_to_cart", 1.0)))
CONTENT = Content(TRAFFIC, seed=1, run=7)


def placed(placement: Placement, *chunks: int) -> dict[int, Position]:
    """Topic and partition of each event, in chunks of these sizes."""
    found: dict[int, Position] = {}
    first = 0
    for count in chunks:
        sequences = np.arange(first, first + count)
        for position, own in placement.positions(CONTENT.places(np.zeros_like(sequences), sequences)):
            found |= dict.fromkeys((first + own).tolist(), position)
        first += count
    return found


def test_every_event_goes_to_its_topic_and_the_partitions_get_alike_however_it_is_cut() -> None:
    found = placed(Placement(KAFKA, CONTENT, by_key=False), 1, 500, 399)
    sent = dict.fromkeys(event_topics(KAFKA), 0)
    for sequence in range(900):
        event = CONTENT.event(0, sequence, 0)
        topic = topic_of(event["event"], KAFKA)
        assert found[sequence] == (topic, sent[topic] % 3)
        sent[topic] += 1


def test_by_key_an_event_goes_where_the_api_would_put_it() -> None:
    found = placed(Placement(KAFKA, CONTENT, by_key=True), 400, 200)
    choose = DefaultPartitioner()
    for sequence in range(600):
        event = CONTENT.event(0, sequence, 0)
        partition = choose(event["user_id"].encode(), [0, 1, 2], [0, 1, 2])
        assert found[sequence] == (topic_of(event["event"], KAFKA), partition)
