"""``$management``: what an Event Hubs client asks about the hub's events.

There is one partition, "0": the telemetry log is one durable sequence, so more of them would only take its
order away. Readers that want to share the work use consumer groups of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from skerry.amqp.message import Message
from skerry.amqp.types import Array, Int, Long, Timestamp, Value
from skerry.errors import InvalidInput, NotAllowed, NotFound
from skerry.hub.policies import Right
from skerry.hub.telemetry import Telemetry

from .selector import EPOCH
from .visit import Visit

PARTITION = "0"
EVENT_HUB, PARTITION_TYPE = "com.microsoft:eventhub", "com.microsoft:partition"


class Management:
    """Answers READ."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def answer(self, visit: Visit, request: Message) -> Value:
        """The properties asked for; raises NotAllowed, InvalidInput, NotFound."""
        if not visit.may(Right.SERVICE_CONNECT):
            raise NotAllowed("put a token with the right serviceConnect first")
        asked = request.application
        name = str(asked.get("name", ""))
        match asked.get("operation"), asked.get("type"):
            case "READ", "com.microsoft:eventhub":
                return {
                    "name": name,
                    "type": EVENT_HUB,
                    "created_at": Timestamp(0),
                    "partition_count": Int(1),
                    "partition_ids": Array((PARTITION,)),
                }
            case "READ", "com.microsoft:partition":
                if str(asked.get("partition")) != PARTITION:
                    raise NotFound("there is one partition, 0", field="partition")
                return await self._partition(name)
        raise InvalidInput("only READ of an event hub or partition is known here", field="operation")

    async def _partition(self, name: str) -> Value:
        bounds = await self._telemetry.bounds()
        return {
            "name": name,
            "type": PARTITION_TYPE,
            "partition": PARTITION,
            "begin_sequence_number": Long(bounds.first),
            "last_enqueued_sequence_number": Long(bounds.last),
            "last_enqueued_offset": str(bounds.last),
            "last_enqueued_time_utc": milliseconds(bounds.last_enqueued),
            "is_partition_empty": bounds.first > bounds.last,
        }


def milliseconds(moment: str | None) -> Timestamp:
    """An ISO time as AMQP writes it, cut to the millisecond; 1970 for none."""
    if moment is None:
        return Timestamp(0)
    return Timestamp((datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1))
