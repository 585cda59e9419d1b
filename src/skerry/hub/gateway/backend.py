"""What a device's connection may do at the hub: the hub's verbs as the protocol head wants them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from skerry.contract.hub_limits import Operation
from skerry.contract.message import Message
from skerry.contract.names import HUB_MODULE, DeviceId, Identity, ModuleId
from skerry.contract.topics import ConnectName
from skerry.errors import InvalidInput, SkerryError
from skerry.hub.faults import requested_delay_s
from skerry.hub.owners import Presence
from skerry.hub.subscriptions import Subscriptions
from skerry.hub.verbs import Verbs
from skerry.protocol.device_session import DeviceSession

log = logging.getLogger(__name__)

# A DTDL identifier: dtmi:com:example:Thermostat;1.
MODEL_ID = re.compile(r"dtmi:[A-Za-z0-9_:]{1,500};[0-9]{1,9}")
# The least time until a connection is dropped at its own wish: its message is stored and acknowledged first.
FAULT_AFTER_S = 0.1


class Gateway:
    """Implements ``skerry.protocol.head.Backend`` over the hub's verbs."""

    def __init__(self, verbs: Verbs, subscriptions: Subscriptions) -> None:
        self._authority = verbs.authority
        self._registry = verbs.registry
        self._twins = verbs.twins
        self._telemetry = verbs.telemetry
        self._connections = verbs.connections
        self._throttle = verbs.throttle
        self._subscriptions = subscriptions
        self._moves: list[tuple[Identity, Presence]] = []
        self._saving: asyncio.Task[None] | None = None

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        """Return when password or certificates prove the identity; raises NotAuthenticated."""
        self._authority.authenticate_device(name.identity, password, certificates)
        # Once it is proved who asks: nobody else can use up a device's connections.
        self._throttle.take(name.identity.client_id, Operation.CONNECT)
        model_id = name.query.get("model-id", "")
        if model_id and MODEL_ID.fullmatch(model_id):
            await self._registry.keep_model(name.identity, model_id)

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return self._subscriptions.load(identity)

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        await self._subscriptions.save(identity, subs)

    async def telemetry(self, sender: Identity, message: Message) -> None:
        """Store one message; it is acknowledged when this returns."""
        if self._throttle.shapes(Operation.TELEMETRY):
            await self._throttle.shape(sender.client_id, Operation.TELEMETRY)
        origin = self._origin(sender, message)
        system = {name: value for name, value in message.system.items() if name not in _ORIGIN}
        self._connections.active(sender)
        self._inject_fault(sender, message)
        await self._telemetry.append(
            origin, Message(message.body, message.properties, _stamped(system, origin))
        )

    async def twin(self, identity: Identity) -> dict[str, Any]:
        self._connections.active(identity)
        self._throttle.take(identity.client_id, Operation.TWIN_READ)
        return self._twins.device_view(identity)

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        self._connections.active(identity)
        self._throttle.take(identity.client_id, Operation.TWIN_WRITE)
        return await self._twins.patch_reported(identity, patch)

    def attached(self, session: DeviceSession) -> None:
        self._save(session.identity, self._connections.attach(session))
        if not self._authority.may_stay(session.identity):
            # It was deleted or disabled between its authentication and now; the CONNACK goes out first.
            asyncio.get_running_loop().call_soon(session.close, "identity deleted or disabled")

    def detached(self, session: DeviceSession) -> None:
        presence = self._connections.detach(session)
        if presence is not None:
            self._save(session.identity, presence)

    async def drain(self) -> None:
        """Return when every connection time that was noted is on disk."""
        if self._saving is not None:
            await self._saving

    def _inject_fault(self, sender: Identity, message: Message) -> None:
        delay_s = requested_delay_s(message)
        session = self._connections.get(sender)
        if delay_s is not None and session is not None:
            # Not before the message is acknowledged: the client waits for that first.
            asyncio.get_running_loop().call_later(
                max(delay_s, FAULT_AFTER_S), session.close, "the device asked for a fault"
            )

    def _origin(self, sender: Identity, message: Message) -> Identity:
        """Whose message this is: an edge hub forwards those of its modules and children (contract §6.4)."""
        device = message.system.get("connectionDeviceId")
        if sender.module != HUB_MODULE or device is None:
            return sender
        module = message.system.get("connectionModuleId")
        try:
            origin = Identity(DeviceId(device), ModuleId(module) if module else None)
        except InvalidInput:
            log.warning("%s forwarded a message of an illegal identity", sender.client_id)
            return sender
        if origin.device == sender.device or self._registry.is_child(origin.device, of=sender.device):
            return origin
        log.warning(
            "%s forwarded a message of %s, which is not its child", sender.client_id, origin.client_id
        )
        return sender

    def _save(self, identity: Identity, presence: Presence) -> None:
        """Note a move; those that come while some are being written are written together."""
        self._moves.append((identity, presence))
        if self._saving is None:
            self._saving = asyncio.ensure_future(self._save_moves())

    async def _save_moves(self) -> None:
        while self._moves:
            moves, self._moves = self._moves, []
            try:
                await self._registry.save_presences(moves)
            except SkerryError as failed:
                log.error("%d connection times not stored: %s", len(moves), failed)
        self._saving = None


_ORIGIN = ("connectionDeviceId", "connectionModuleId")


def _stamped(system: Mapping[str, str], origin: Identity) -> dict[str, str]:
    """System properties with the sender as the hub knows it; what a client claims does not count."""
    stamped = {**system, "connectionDeviceId": str(origin.device)}
    return stamped if origin.module is None else {**stamped, "connectionModuleId": str(origin.module)}
