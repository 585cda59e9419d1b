"""Carries queued commands to devices that are connected and listen."""

from __future__ import annotations

import asyncio
import logging

from skerry.contract.names import DeviceId, Identity
from skerry.errors import PreconditionFailed, SkerryError, Unavailable
from skerry.hub.command_rows import Command
from skerry.hub.commands import Commands
from skerry.hub.connections import Connections
from skerry.protocol.device_session import DeviceSession

log = logging.getLogger(__name__)


class Courier:
    """Looks at a device's queue when it connects, when it subscribes and when something was queued.

    A command is complete when its PUBACK is there. One whose connection ends before is delivered again, with
    the dup flag (contract §2.3).
    """

    def __init__(self, commands: Commands, connections: Connections) -> None:
        self._commands = commands
        self._connections = connections
        self._looking: dict[DeviceId, asyncio.Task[None]] = {}
        self._again: set[DeviceId] = set()
        self._delivering: set[asyncio.Task[None]] = set()
        connections.on_queued = self.look
        connections.on_change = self._changed

    def look(self, device: DeviceId) -> None:
        """See in a moment whether there is something to deliver to a device."""
        session = self._connections.get(Identity(device))
        if session is None or not session.subscribed_to("c2d"):
            return
        if device in self._looking:
            self._again.add(device)
            return
        task = asyncio.ensure_future(self._look(device))
        self._looking[device] = task
        task.add_done_callback(lambda _: self._looked(device))

    async def drain(self) -> None:
        """Return when nothing is under way; to be called after every session has ended."""
        while under_way := {*self._looking.values(), *self._delivering}:
            await asyncio.wait(under_way)

    def _changed(self, session: DeviceSession) -> None:
        if session.identity.module is None:
            self.look(session.identity.device)

    def _looked(self, device: DeviceId) -> None:
        del self._looking[device]
        if device in self._again:
            self._again.discard(device)
            self.look(device)

    async def _look(self, device: DeviceId) -> None:
        try:
            while (session := self._connections.get(Identity(device))) is not None:
                if not session.subscribed_to("c2d") or not session.is_open:
                    return
                taken = await self._commands.take(device, None)
                if taken is None:
                    return
                task = asyncio.ensure_future(self._deliver(session, *taken))
                self._delivering.add(task)
                task.add_done_callback(self._delivering.discard)
        except SkerryError as error:
            log.error("commands of %s cannot be delivered now: %s", device, error)

    async def _deliver(self, session: DeviceSession, lock: str, command: Command) -> None:
        device = command.device
        try:
            await session.send_c2d(command.message, dup=command.deliveries > 0)
        except Unavailable as gone:
            log.info("command not delivered to %s, it stays queued: %s", device, gone)
            self._commands.abandon(device, lock)
            return
        try:
            await self._commands.complete(device, lock)
            log.info("delivered a command to %s", device)
        except PreconditionFailed:
            log.info("a command of %s ended while it was delivered", device)
        except SkerryError as error:
            log.error("a command of %s was delivered and could not be ended: %s", device, error)
            self._commands.abandon(device, lock)
