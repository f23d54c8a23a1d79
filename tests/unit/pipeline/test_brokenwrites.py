"""A write to a connection that has just broken, under uvloop, is an error that aiokafka expects."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.brokenwrites import patch_aiokafka


def test_a_write_to_a_closed_transport_is_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)  # the mend goes with this test
    patch_aiokafka()

    async def send_on_a_broken_one() -> AIOKafkaConnection:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        connection = AIOKafkaConnection(host, port)
        connection._versions = {3: (0, 1)}
        connection._reader, connection._writer = await asyncio.open_connection(host, port)
        connection._read_task = asyncio.create_task(asyncio.sleep(0))
        connection._writer.transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(KafkaConnectionError):
            await connection.send(MetadataRequest([]))
        server.close()
        return connection

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert not runner.run(send_on_a_broken_one()).connected()
