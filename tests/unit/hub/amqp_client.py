"""A service at the hub's AMQP front: our own kernel at the client's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from skerry.amqp.composite import to_value
from skerry.amqp.events import Attached, Closed, Credited, Delivered, Detached, Event, Opened, Settled
from skerry.amqp.link import Link
from skerry.amqp.message import Message, Properties, decode_message, encode_message
from skerry.amqp.performatives import RECEIVER, SENDER, Accepted, Attach, Error, Outcome, Source, Target
from skerry.amqp.stream import Wire, connect
from skerry.amqp.types import Described, Symbol, ULong, Value
from skerry.service.tls import client_context
from tests.unit.hub.running import RunningHub

TIMEOUT_S = 10.0
SELECTOR = "apache.org:selector-filter:string"


class Refused(Exception):
    """The hub ended a link."""

    def __init__(self, error: Error | None) -> None:
        super().__init__(error)
        self.condition = "" if error is None else error.condition


class AmqpClient:
    """Everything in one session; ``happened`` is the list of what came."""

    def __init__(self) -> None:
        self.happened: list[Event] = []
        self._news = asyncio.Event()
        self._wire: Wire | None = None
        self._channel = 0

    @property
    def wire(self) -> Wire:
        assert self._wire is not None
        return self._wire

    def on_event(self, wire: Wire, event: Event) -> None:
        self.happened.append(event)
        self._news.set()

    async def open(self, hub: RunningHub) -> None:
        tls = client_context(hub.ca_pem)
        port = hub.addresses.amqp_port
        assert port is not None
        self._wire = await connect(
            self.on_event,
            "127.0.0.1",
            port,
            tls,
            clock=hub.clock,
            container="test",
            server_hostname="localhost",
        )
        await self.until(Opened)
        self._channel = self.wire.connection.begin()

    async def until(self, kind: type[Event], link: Link | None = None) -> Any:
        """The first event of a kind (on a link), waited for and removed."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in self.happened:
                    if isinstance(event, Detached) and event.link is link and kind is not Detached:
                        raise Refused(event.error)
                    if isinstance(event, kind) and (link is None or getattr(event, "link", None) is link):
                        self.happened.remove(event)
                        return event
                self._news.clear()
                await self._news.wait()

    async def attach(self, role: bool, address: str, **more: Any) -> Link:
        """A link to or from an address; raises Refused."""
        filters = {
            Symbol(SELECTOR): Described(Symbol(SELECTOR), text)
            for text in filter(None, [more.pop("selector", None)])
        }
        attach = Attach(
            name=f"{address} {role}",
            handle=0,
            role=role,
            source=to_value(Source(address if role == RECEIVER else "me", filter=filters or None)),
            target=to_value(Target(address if role == SENDER else "me")),
            properties=more.get("properties"),
        )
        link = self.wire.connection.attach(self._channel, attach)
        self.wire.flush()
        await self.until(Attached, link)
        if (link.peer.target if role == SENDER else link.peer.source) is None:
            raise Refused((await self.until(Detached, link)).error)
        if role == SENDER:
            await self.until(Credited, link)
        return link

    async def send(self, link: Link, message: Message) -> Outcome | None:
        self.wire.connection.send(link, encode_message(message))
        self.wire.flush()
        settled = await self.until(Settled, link)
        assert isinstance(settled, Settled)
        return settled.outcome

    async def receive(self, link: Link, outcome: Outcome | None = None) -> Message:
        came = await self.until(Delivered, link)
        assert isinstance(came, Delivered)
        self.wire.connection.settle(link, came.delivery_id, outcome or Accepted())
        self.wire.flush()
        return decode_message(came.payload)

    async def request(
        self, node: str, body: Value, message_id: Value = None, **application: Value
    ) -> Message:
        """Ask a node; its answer."""
        question = await self.attach(SENDER, node)
        answers = await self.attach(RECEIVER, node)
        asked = Properties(message_id=ULong(1) if message_id is None else message_id, reply_to="me")
        await self.send(question, Message(body, asked, application))
        answer = await self.receive(answers)
        for link in (question, answers):
            self.wire.connection.detach(link)
        self.wire.flush()
        return answer

    async def put_token(self, token: str, kind: str = "servicebus.windows.net:sastoken") -> int:
        """The status that ``$cbs`` answers."""
        answer = await self.request("$cbs", token, operation="put-token", type=kind, name="sb://localhost/x")
        return int(answer.application["status-code"])

    async def command(self, device: str, text: str = "x", **system: Any) -> Outcome | None:
        """Send a message to a device; ``ack`` and ``application`` apart, ``system`` are AMQP's properties."""
        link = await self.attach(SENDER, "/messages/devicebound")
        application = {
            **system.pop("application", {}),
            **({"iothub-ack": system.pop("ack")} if "ack" in system else {}),
        }
        properties = Properties(to=f"/devices/{device}/messages/devicebound", **system)
        outcome = await self.send(link, Message(text.encode(), properties, application))
        self.wire.connection.detach(link)
        self.wire.flush()
        return outcome


@asynccontextmanager
async def amqp_client(hub: RunningHub, policy: str | None = "service") -> AsyncIterator[AmqpClient]:
    """A connected client, with the token of a policy."""
    client = AmqpClient()
    await client.open(hub)
    try:
        if policy is not None:
            assert await client.put_token(hub.token(policy, audience="sb://localhost/hub")) == 200
        yield client
    finally:
        client.wire.close("amqp:connection:forced", "done")
        await client.wire.gone()
        assert any(isinstance(event, Closed) for event in client.happened)
