"""A reader of events that stops reading holds up nothing but itself, and gets everything when it goes on."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from skerry.amqp.events import Delivered, Event
from skerry.amqp.message import decode_message
from skerry.amqp.performatives import RECEIVER, Accepted
from skerry.amqp.stream import Wire
from skerry.contract.message import Message
from skerry.hub.amqp.visit import Visit
from tests.unit.hub.amqp_client import amqp_client
from tests.unit.hub.running import connected, running_hub
from tests.unit.hub.test_amqp import PARTITION, until

MESSAGES = 40
BODY_BYTES = 200_000
# A few events per client: what asyncio and TLS keep above their marks. All that is stored is four times that.
KEPT_BYTES_MAX = 2 * 1024 * 1024


def hubs_ends() -> list[asyncio.Transport]:
    """The transports of the hub's clients, at its end; it serves in this process."""
    wires = [one for one in gc.get_objects() if isinstance(one, Wire) and isinstance(one.context, Visit)]
    return [wire._transport for wire in wires if wire._transport is not None]


async def test_a_reader_that_stops_reading_costs_no_memory_and_loses_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", amqp_port=0) as hub:
        device = hub.device(await hub.service.create_device("dev"))
        async with connected(device):
            await asyncio.gather(
                *(device.send(Message(bytes([n]) * BODY_BYTES, {}, {})) for n in range(MESSAGES))
            )
        async with amqp_client(hub) as stalled, amqp_client(hub) as reading:
            transport = stalled.wire._transport
            assert transport is not None
            link = await stalled.attach(RECEIVER, PARTITION)
            transport.pause_reading()
            other = await reading.attach(RECEIVER, PARTITION)
            transports, most = hubs_ends(), 0
            for _ in range(MESSAGES):
                await reading.receive(other)
                most = max(most, sum(one.get_write_buffer_size() for one in transports))
            assert len(transports) == 2
            assert most < KEPT_BYTES_MAX
            assert len(came(stalled.happened)) < MESSAGES
            transport.resume_reading()

            async def everything() -> bool:
                for event in came(stalled.happened):
                    stalled.wire.connection.settle(link, event.delivery_id, Accepted())
                return len(came(stalled.happened)) == MESSAGES

            await until(everything)
            bodies = sorted(decode_message(event.payload).body[0] for event in came(stalled.happened))
            assert bodies == list(range(MESSAGES))


def came(events: list[Event]) -> list[Delivered]:
    return [event for event in events if isinstance(event, Delivered)]
