"""The way to the hub: one connection per identity, up while it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from skerry.clock import Clock
from skerry.contract.credentials import Signer
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, Identity, ModuleId
from skerry.edge.hub.line import IdentityTokens, Line, VouchingTokens
from skerry.edge.hub.twins import Twins
from skerry.errors import SkerryError
from skerry.mqtt.outcome import Outcome
from skerry.protocol.client import DeviceClient, Endpoint
from skerry.protocol.tokens import TokenSource
from skerry.service.lifecycle import Supervisor

log = logging.getLogger(__name__)

USER_AGENT = "skerry-edge"
# Of a link that is dead without a word we know after half of this and the wait for a ping's answer, so that
# the backlog drains within 30 s of any heal.
KEEP_ALIVE_S = 12
# As many messages as a forwarder has under way at once.
IN_FLIGHT_MAX = 100
# A module that restarts does not make its connection to the hub flap.
LINGER_S = 30.0

Invoke = Callable[[Identity, MethodRequest], Awaitable[MethodResponse]]
DeliverC2D = Callable[[Identity, Message], Awaitable[None]]


class Upstream:
    """Opens a line for whoever has something to do with the hub; the system modules always do."""

    def __init__(
        self,
        device: Identity,
        hub: str,
        endpoint: Endpoint | None,
        *,
        signer: Callable[[Identity], Signer],
        twins: Twins,
        invoke: Invoke,
        deliver_c2d: DeliverC2D,
        needed: Callable[[Identity], bool],
        known: Callable[[Identity], bool],
        vouched: Callable[[Identity], bool] = lambda _: False,
        clock: Clock,
    ) -> None:
        self._device = device
        self._hub = hub
        self._endpoint = endpoint
        self._signer = signer
        self._twins = twins
        self._invoke = invoke
        self._deliver_c2d = deliver_c2d
        self._needed = needed
        self._known = known
        # Who is spoken for with the gateway's own key: the device holds none of theirs.
        self._vouched = vouched
        self._keys_changed = asyncio.Event()
        self._clock = clock
        self._lines: dict[Identity, Line] = {}
        self._supervisor = Supervisor(clock)
        self._never = asyncio.Event()
        self._closed = False
        self.system = tuple(
            Identity(device.device, ModuleId(module)) for module in (AGENT_MODULE, HUB_MODULE)
        )
        self.listeners: list[Callable[[Identity, bool], None]] = []
        # Called when the hub refuses the key of an identity: it may have given it a new one.
        self.refused: Callable[[Identity], None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the hub is there, as ``$edgeHub`` sees it."""
        line = self._lines.get(self.system[1])
        return line is not None and line.client.connected

    @property
    def last_error(self) -> SkerryError | None:
        """Why the hub is not there, as ``$edgeHub`` was told; None while it is."""
        line = self._lines.get(self.system[1])
        return None if line is None else line.client.last_error

    def connections(self) -> Iterable[tuple[Identity, bool]]:
        """Every line and whether it is up."""
        return [(identity, line.client.connected) for identity, line in self._lines.items()]

    def start(self) -> None:
        """Open the system modules' lines and close others when they are no longer needed."""
        if self._endpoint is None:
            return
        # Of those with a report from an earlier run the owner may never come back.
        for identity in (*self.system, *self._twins.unreported()):
            self.open(identity)
        self._supervisor.start("sweep", self._sweep)
        self._twins.on_pending(self._pending)

    async def close(self) -> None:
        """Disconnect everybody."""
        self._closed = True
        await self._supervisor.stop()
        self._lines.clear()

    def open(self, identity: Identity) -> Line | None:
        """The identity's line, opened if there is none; None when upstream is switched off."""
        if self._endpoint is None or self._closed:
            return None
        if (line := self._lines.get(identity)) is None:
            line = self._lines[identity] = self._new_line(identity, self._endpoint)
            self._supervisor.start(identity.client_id, line.run)
        return line

    async def renew(self, identity: Identity) -> None:
        """The identity's keys changed or are gone: what is connected with the old ones is closed."""
        waiting, self._keys_changed = self._keys_changed, asyncio.Event()
        waiting.set()
        if (line := self._lines.get(identity)) is None or not (line.client.connected or line.refused):
            return
        del self._lines[identity]
        await self._supervisor.cancel(identity.client_id)
        if identity in self.system or self._needed(identity):
            self.open(identity)

    async def wait_connected(self, sender: Identity) -> None:
        """Return when messages of ``sender`` can go out."""
        line = self.open(sender)
        if line is None:
            await self._never.wait()
            return
        await line.client.wait_connected()

    def forward(self, sender: Identity, bag: bytes, body: bytes) -> Outcome:
        """Settled when the hub has the message (PUBACK); its error is Unavailable when the line is closed."""
        line = self.open(sender)
        # Switched off: for ever under way.
        return Outcome() if line is None else line.client.forward(bag, body)

    def _new_line(self, identity: Identity, endpoint: Endpoint) -> Line:
        client = DeviceClient(
            identity,
            self._hub,
            endpoint,
            self._tokens(identity),
            clock=self._clock,
            user_agent=USER_AGENT,
            in_flight_max=IN_FLIGHT_MAX,
            keep_alive_s=KEEP_ALIVE_S,
        )

        async def method(request: MethodRequest) -> MethodResponse:
            return await self._invoke(identity, request)

        client.on_method = method
        if identity.module is None:

            async def command(message: Message) -> None:
                await self._deliver_c2d(identity, message)

            client.on_c2d = command
        return Line(client, self._twins, self._clock, self._connection_changed)

    def _tokens(self, identity: Identity) -> TokenSource:
        if not self._vouched(identity):
            return IdentityTokens(self._signer, identity, lambda: self._exists(identity), self._clock)
        gateway = self.system[1]
        own = IdentityTokens(self._signer, gateway, lambda: self._exists(gateway), self._clock)
        return VouchingTokens(own, gateway.resource(self._hub))

    async def _exists(self, identity: Identity) -> None:
        """Return once the device holds a key of the identity that the hub has not just refused."""
        line = self._lines.get(identity)
        if line is not None and line.refused and self.refused is not None:
            self.refused(identity)
        while not self._known(identity):
            await self._keys_changed.wait()

    def _pending(self, identity: Identity) -> None:
        line = self.open(identity)
        if line is not None:
            line.wake()

    def _connection_changed(self, identity: Identity, connected: bool) -> None:
        log.info(
            "%s is %s", identity.client_id, "connected to the hub" if connected else "cut off from the hub"
        )
        for listener in self.listeners:
            listener(identity, connected)

    async def _sweep(self) -> None:
        unneeded: set[Identity] = set()
        while True:
            await self._clock.sleep(LINGER_S)
            now = {identity for identity in self._lines if not self._wanted(identity)}
            for identity in unneeded & now:
                del self._lines[identity]
                await self._supervisor.cancel(identity.client_id)
            unneeded = now

    def _wanted(self, identity: Identity) -> bool:
        line = self._lines[identity]
        return (
            identity in self.system
            or self._needed(identity)
            or not line.idle
            or bool(self._twins.cached(identity).pending)
        )
