import asyncio

import pytest

from skerry.clock import ManualClock
from skerry.errors import TimedOut, Unavailable
from skerry.mqtt.client import Client
from skerry.mqtt.codec import encode
from skerry.mqtt.packets import ConnAck, Connect


async def test_a_client_notices_a_server_that_went_silent() -> None:
    clock = ManualClock()
    silent = await asyncio.start_server(_accept_and_stay, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    client = await Client.open(
        "127.0.0.1", port, None, Connect("d", keep_alive_s=40), lambda packet: None, clock=clock
    )
    delivery = client.publish("t", b"", qos=1)
    await asyncio.sleep(0.01)  # the client has begun to look at the clock
    await clock.advance(41)
    assert await client.closed == "no answer to a ping"
    with pytest.raises(Unavailable):
        await delivery
    await client.close()
    silent.close()
    await silent.wait_closed()


async def _accept_and_stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(encode(ConnAck(False)))
    await reader.read()
    writer.close()


async def test_a_server_that_never_answers_a_connect_is_given_up() -> None:
    clock = ManualClock()
    silent = await asyncio.start_server(_swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    opening = asyncio.ensure_future(
        Client.open("127.0.0.1", port, None, Connect("d"), lambda packet: None, clock=clock)
    )
    await asyncio.sleep(0.02)
    await clock.advance(30)
    with pytest.raises(TimedOut):
        await opening
    silent.close()
    await silent.wait_closed()
    await asyncio.sleep(0.01)


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read()
    finally:
        writer.close()
