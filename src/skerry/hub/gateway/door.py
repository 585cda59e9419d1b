"""Whom a connection at the hub's MQTT port is for: the hub itself or the provisioning service."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from skerry.contract.provisioning import is_provisioning
from skerry.mqtt.link import Handler, Link
from skerry.mqtt.packets import ConnAck, Connect, Publish, Will


class Door:
    """A handler that gives each link, by its CONNECT, to one of two for good.

    Both services are one host here, and their clients know one port (contract §5.1).
    """

    def __init__(self, hub: Handler, provisioning: Handler) -> None:
        self._hub = hub
        self._provisioning = provisioning

    async def connected(self, link: Link, packet: Connect) -> ConnAck:
        provisioning = is_provisioning(packet.username, packet.client_id)
        link.handler = self._provisioning if provisioning else self._hub
        return await link.handler.connected(link, packet)

    # A link is asked of nothing else before its CONNECT.

    def published(self, link: Link, packet: Publish) -> Awaitable[None] | None:
        raise AssertionError

    async def subscribed(self, link: Link, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        raise AssertionError

    async def unsubscribed(self, link: Link, filters: Sequence[str]) -> None:
        raise AssertionError

    def disconnected(self, link: Link, reason: str, will: Will | None) -> None:
        raise AssertionError
