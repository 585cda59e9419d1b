"""Nodes that answer a request with a message: ``$cbs`` and ``$management``."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from skerry.amqp.composite import to_value
from skerry.amqp.fault import AmqpError
from skerry.amqp.link import Link
from skerry.amqp.message import Message, Properties, decode_message, encode_message
from skerry.amqp.performatives import Accepted, Error, Rejected
from skerry.amqp.types import Int, Value
from skerry.errors import NotAllowed, NotAuthenticated, NotFound, SkerryError

from .visit import Node, Visit

log = logging.getLogger(__name__)

Answer = Callable[[Visit, Message], Awaitable[Value]]
# A client asks one thing at a time; more answers than this without credit are not kept.
ANSWERS_MAX = 100


class Replies(Node):
    """The link on which answers go to the client."""

    def __init__(self, visit: Visit, link: Link) -> None:
        self._visit = visit
        self.link = link
        self._waiting: deque[bytes] = deque(maxlen=ANSWERS_MAX)

    def send(self, message: Message) -> None:
        """Answer now, or as soon as the client takes it."""
        self._waiting.append(encode_message(message))
        self.credited()

    def credited(self) -> None:
        connection = self._visit.wire.connection
        while self._waiting and connection.can_send(self.link):
            payload = self._waiting.popleft()
            connection.send(self.link, payload, settled=self.link.wants_settled, track=False)
        connection.drained(self.link)
        self._visit.wire.flush()


class Requests(Node):
    """The link on which questions come; each is answered on the client's ``Replies`` of the same node."""

    def __init__(self, visit: Visit, link: Link, answer: Answer) -> None:
        self._visit = visit
        self._link = link
        self._answer = answer
        self._answering: set[asyncio.Task[None]] = set()

    def delivered(self, delivery_id: int, payload: bytes) -> None:
        connection = self._visit.wire.connection
        try:
            request = decode_message(payload)
        except AmqpError as error:
            reason = Rejected(to_value(Error(error.condition, error.what)))
            connection.settle(self._link, delivery_id, reason)
            return
        connection.settle(self._link, delivery_id, Accepted())
        task = asyncio.ensure_future(self._reply(request))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def ended(self) -> None:
        for task in self._answering:
            task.cancel()

    async def _reply(self, request: Message) -> None:
        try:
            status, text, body = 200, "OK", await self._answer(self._visit, request)
        except SkerryError as error:
            status, text, body = _status(error), str(error), None
            log.info("AMQP request of %s refused with %d: %s", self._visit.wire.peer, status, error)
        replies = self._replies(request)
        if replies is None:
            log.info("%s has no link for answers", self._visit.wire.peer)
            return
        # The id goes back with the type it came with (contract §4.8).
        properties = Properties(correlation_id=request.properties.message_id)
        application = {"status-code": Int(status), "status-description": text}
        # Event Hubs' own clients look for these names.
        application |= {"statusCode": Int(status), "statusDescription": text}
        replies.send(Message({} if body is None else body, properties, application))

    def _replies(self, request: Message) -> Replies | None:
        address = self._link.address
        found = [
            node
            for node in self._visit.nodes.values()
            if isinstance(node, Replies) and node.link.address == address
        ]
        wanted = [node for node in found if node.link.target.address == request.properties.reply_to]
        return next(reversed(wanted or found), None)


def _status(error: SkerryError) -> int:
    match error:
        case NotAuthenticated():
            return 401
        case NotAllowed():
            return 403
        case NotFound():
            return 404
        case _:
            return 400
