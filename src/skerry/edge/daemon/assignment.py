"""The device's identity at its hub: as kept, or as its provisioning service says now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString
from skerry.edge.daemon.hub_trust import service_tls
from skerry.edge.daemon.identity_source import ALWAYS, DYNAMIC, Dps, read_dps, write_connection
from skerry.edge.daemon.provisioning import read_connection
from skerry.edge.daemon.registration import Registration
from skerry.edge.settings import EdgeSettings
from skerry.errors import InvalidInput, NotFound, SkerryError, TimedOut

log = logging.getLogger(__name__)

# A first contact is retried for ever; a question at start, with an identity in hand, is not waited for long.
RETRY_FIRST_S, RETRY_MAX_S = 2.0, 300.0
STARTUP_S = 20.0
# The hub refuses the device: its provisioning service is asked at once, and then not oftener than this.
ASK_EVERY_S = 300.0


async def assigned(settings: EdgeSettings, clock: Clock) -> ConnectionString:
    """The identity to run with; needs no network once there was one.

    Returns only when there is one: a device that was never assigned asks for ever. Raises NotFound (not
    provisioned), NotAllowed (others may read its keys), InvalidInput.
    """
    source = read_dps(settings)
    if source is None:
        return read_connection(settings)
    try:
        kept = read_connection(settings)
    except NotFound:
        return await _first(source, settings, clock)
    if source.mode != ALWAYS:
        return kept
    try:
        return await _within(clock, STARTUP_S, _registered(source, settings, clock))
    except SkerryError as error:
        log.warning("the provisioning service was not asked, the device stays who it was: %s", error)
        return kept


class Reprovisioning:
    """Asks the provisioning service again; ``changed`` is set when the device has another identity now."""

    def __init__(self, settings: EdgeSettings, connection: ConnectionString, clock: Clock) -> None:
        self._settings = settings
        self._connection = connection
        self._clock = clock
        self._asked = asyncio.Event()
        self.changed = asyncio.Event()
        # As Microsoft's management API tells it.
        source = read_dps(settings)
        self.described = {
            "type": "manual" if source is None else "dps",
            "dynamicReprovisioning": source is not None and source.mode == DYNAMIC,
            "alwaysReprovisionOnStartup": source is not None and source.mode == ALWAYS,
        }

    def refused(self) -> None:
        """The hub refuses the device: perhaps it belongs to another one by now."""
        self._asked.set()

    async def ask(self) -> ConnectionString:
        """Ask now. Raises InvalidInput (no provisioning service is known) and what the service answers."""
        source = read_dps(self._settings)
        if source is None:
            raise InvalidInput(
                "this device was given its identity",
                hint="there is no provisioning service to ask; use: skerry edge provision",
            )
        connection = await _registered(source, self._settings, self._clock)
        if connection != self._connection:
            self.changed.set()
        return connection

    async def answer(self) -> dict[str, Any]:
        """``ask`` for who asks by the management API."""
        connection = await self.ask()
        return {
            "device": connection.identity.client_id,
            "hub": connection.host_name,
            "changed": self.changed.is_set(),
        }

    async def run(self) -> None:
        """Ask whenever the hub refused the device, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                if read_dps(self._settings) is not None:
                    await self.ask()
            except SkerryError as error:
                log.warning("the device could not be provisioned anew: %s", error)
            await self._clock.sleep(ASK_EVERY_S)


async def _first(source: Dps, settings: EdgeSettings, clock: Clock) -> ConnectionString:
    said, wait_s = "", RETRY_FIRST_S
    while True:
        try:
            return await _registered(source, settings, clock)
        except SkerryError as error:
            level = logging.DEBUG if str(error) == said else logging.WARNING
            log.log(level, "%s has no hub yet: %s", source.name.registration_id, error)
            said = str(error)
        await clock.sleep(wait_s)
        wait_s = min(wait_s * 2, RETRY_MAX_S)


async def _registered(source: Dps, settings: EdgeSettings, clock: Clock) -> ConnectionString:
    service = Registration(source, service_tls(settings), clock)
    try:
        connection = await service.register()
    finally:
        await service.close()
    await asyncio.to_thread(write_connection, settings, connection)
    log.info(
        "%s is %s at %s", source.name.registration_id, connection.identity.client_id, connection.host_name
    )
    return connection


async def _within(clock: Clock, seconds: float, work: Awaitable[ConnectionString]) -> ConnectionString:
    asked = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait([asked, alarm], return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise TimedOut("the provisioning service takes too long", seconds=seconds)
        return asked.result()
    finally:
        asked.cancel()
        alarm.cancel()
