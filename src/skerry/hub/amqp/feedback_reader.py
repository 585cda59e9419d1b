"""``/messages/serviceBound/…``: what became of messages to devices, which files were uploaded."""

from __future__ import annotations

import asyncio
import json
import logging

from skerry.amqp.events import Settled
from skerry.amqp.fault import INTERNAL_ERROR, UNAUTHORIZED
from skerry.amqp.link import Link
from skerry.amqp.message import Message, Properties, encode_message
from skerry.amqp.performatives import Accepted, Outcome, Rejected
from skerry.errors import PreconditionFailed, SkerryError
from skerry.hub.feedback import Batch, Feedback
from skerry.hub.policies import Right

from .visit import Node, Visit

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/vnd.microsoft.iothub.feedback.json"
FILE_CONTENT_TYPE = "application/vnd.microsoft.iothub.filenotification.json"


class FeedbackReader(Node):
    """One batch at a time; it is gone when the client accepts it, and comes again otherwise."""

    def __init__(self, visit: Visit, link: Link, feedback: Feedback, *, files: bool = False) -> None:
        self._files = files
        self._visit = visit
        self._link = link
        self._feedback = feedback
        self._credited = asyncio.Event()
        self._answer: asyncio.Future[Outcome | None] | None = None
        self._task = asyncio.ensure_future(self._run())

    def credited(self) -> None:
        self._credited.set()
        if self._answer is None:
            self._visit.wire.connection.drained(self._link)

    def settled(self, event: Settled) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(event.outcome)

    def ended(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        connection = self._visit.wire.connection
        try:
            while self._visit.may(Right.SERVICE_CONNECT):
                await self._room()
                await self._hand_over(await self._feedback.take_or_wait())
            connection.detach(self._link, UNAUTHORIZED, "the token has ended")
        except SkerryError as error:
            log.error("feedback cannot be read for %s: %s", self._visit.wire.peer, error)
            connection.detach(self._link, INTERNAL_ERROR, error.what)
        self._visit.wire.flush()

    async def _hand_over(self, batch: Batch) -> None:
        done = False
        try:
            await self._room()
            done = await self._send(batch)
        finally:
            # Also when this link ended: somebody else gets the batch at once.
            if not done:
                self._abandon(batch)
        if not done:
            return
        try:
            await self._feedback.complete(batch.lock)
        except PreconditionFailed:
            log.info("%s took too long over its feedback; it comes again", self._visit.wire.peer)

    async def _send(self, batch: Batch) -> bool:
        # Files are told of one by one; their body is the record itself.
        body = json.dumps(batch.records[0] if self._files else batch.records).encode()
        content_type = FILE_CONTENT_TYPE if self._files else CONTENT_TYPE
        payload = encode_message(Message(body, Properties(message_id=batch.lock, content_type=content_type)))
        connection = self._visit.wire.connection
        settled = self._link.wants_settled
        self._answer = asyncio.get_running_loop().create_future()
        connection.send(self._link, payload, settled=settled)
        self._visit.wire.flush()
        outcome = Accepted() if settled else await self._answer
        self._answer = None
        # A client that rejects has read it as well, and does not want it again.
        return outcome is None or isinstance(outcome, Accepted | Rejected)

    def _abandon(self, batch: Batch) -> None:
        try:
            self._feedback.abandon(batch.lock)
        except PreconditionFailed:
            log.info("%s took too long over its feedback", self._visit.wire.peer)

    async def _room(self) -> None:
        while not self._visit.wire.connection.can_send(self._link):
            self._credited.clear()
            await self._credited.wait()
