"""A device that looks for its hub, by our own MQTT client; and the enrolments it needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from skerry.contract.credentials import key_signer, make_token
from skerry.contract.provisioning import (
    REPLIES_FILTER,
    ProvisioningName,
    RegistrationId,
    Reply,
    parse_reply_topic,
    poll_topic,
    register_topic,
)
from skerry.mqtt.client import Client
from skerry.mqtt.packets import Connect, Publish
from skerry.protocol.connect import tls_trusting
from skerry.service.certificates import Issued
from skerry.service.tls import load_certificate
from tests.unit.hub.running import RunningHub

Json = dict[str, Any]


class ProvisioningClient:
    """One connection to the provisioning service."""

    def __init__(self, client: Client, replies: asyncio.Queue[tuple[Reply, Json]], name: str) -> None:
        self.client = client
        self._replies = replies
        self._name = name

    async def register(self, body: Json | None = None) -> tuple[int, Json]:
        document = {"registrationId": self._name, "payload": None} if body is None else body
        return await self.ask(register_topic("r-1"), json.dumps(document).encode())

    async def poll(self, operation: str) -> tuple[int, Json]:
        return await self.ask(poll_topic("p-1", operation), b" ")

    async def ask(self, topic: str, body: bytes) -> tuple[int, Json]:
        async with asyncio.timeout(10):
            await self.client.publish(topic, body, 1)
            reply, document = await self._replies.get()
        assert reply.rid in topic
        return reply.status, document


def symmetric(primary: str = "", secondary: str = "", **more: Any) -> Json:
    """An enrolment document."""
    keys = {"primaryKey": primary, "secondaryKey": secondary}
    return {"attestation": {"type": "symmetricKey", "symmetricKey": keys}, **more}


def keys_of(enrollment: Json) -> tuple[str, str]:
    keys = enrollment["attestation"]["symmetricKey"]
    return keys["primaryKey"], keys["secondaryKey"]


async def id_scope(hub: RunningHub) -> str:
    return str((await hub.service.provisioning())["idScope"])


async def token(hub: RunningHub, name: str, key: str, *, lifetime_s: int = 600, scope: str = "") -> str:
    resource = f"{scope or await id_scope(hub)}/registrations/{name}"
    expiry = int(hub.clock.now().timestamp()) + lifetime_s
    return make_token(resource, key_signer(key), expiry, "registration")


@asynccontextmanager
async def provisioning(
    hub: RunningHub,
    name: str,
    password: str | None = None,
    *,
    scope: str = "",
    certificate: Issued | None = None,
) -> AsyncIterator[ProvisioningClient]:
    """Connected and listening; raises NotAuthenticated when it is refused."""
    replies: asyncio.Queue[tuple[Reply, Json]] = asyncio.Queue()

    def on_publish(packet: Publish) -> None:
        replies.put_nowait((parse_reply_topic(packet.topic), json.loads(packet.payload)))

    who = ProvisioningName(scope or await id_scope(hub), RegistrationId(name))
    connect = Connect(
        name, username=who.render("skerry test"), password=password.encode() if password else None
    )
    tls = tls_trusting(hub.ca_pem)
    if certificate is not None:
        load_certificate(tls, certificate.cert_chain_pem, certificate.key_pem)
    client = await Client.open(
        "localhost", hub.addresses.mqtt_port, tls, connect, on_publish, clock=hub.clock
    )
    try:
        await client.subscribe([(REPLIES_FILTER, 1)])
        yield ProvisioningClient(client, replies, name)
    finally:
        await client.close()


async def registered(hub: RunningHub, name: str, key: str) -> Json:
    """The registration state of a device with this key once it has registered."""
    async with provisioning(hub, name, await token(hub, name, key)) as device:
        status, answer = await device.register()
    assert status == 200
    state: Json = answer["registrationState"]
    assert answer["status"] == state["status"]
    return state
