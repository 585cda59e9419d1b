"""A TCP link that can be cut and healed, for trying what a device does without its uplink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from skerry.errors import Unavailable

log = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 5.0

Manner = Literal["refuse", "blackhole"]


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One port of the link: what connects to it is carried to ``target_host:target_port``."""

    target_host: str
    target_port: int
    host: str = "127.0.0.1"
    port: int = 0
    """Where to listen; 0 takes a free port, see ``LinkProxy.ports``."""


class LinkProxy:
    """Carries TCP connections until cut.

    ``cut("refuse")`` closes connections and closes new ones at once, like a router without a way on;
    ``cut("blackhole")`` keeps them and carries nothing, like a lost radio link: peers notice only by
    their own time-outs. ``heal`` carries again; what was held in a black hole is dropped and closed.
    """

    def __init__(self, mappings: Sequence[PortMapping]) -> None:
        self._mappings = mappings
        self._servers: list[asyncio.Server] = []
        self._links: set[asyncio.Task[None]] = set()
        self._manner: Manner | None = None
        self._through = asyncio.Event()
        self._through.set()
        self.carried_bytes = 0
        self.refused = 0

    @classmethod
    async def start(cls, mappings: Sequence[PortMapping]) -> LinkProxy:
        """Listen for all mappings; raises Unavailable when a port is taken."""
        proxy = cls(mappings)
        try:
            for mapping in mappings:
                proxy._servers.append(await proxy._listen(mapping))
        except OSError as exc:
            await proxy.close()
            raise Unavailable(f"the link cannot listen: {exc.strerror or exc}") from exc
        return proxy

    @property
    def ports(self) -> list[int]:
        """The port of each mapping, in the order given."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    @property
    def is_cut(self) -> bool:
        return self._manner is not None

    async def cut(self, manner: Manner = "refuse") -> None:
        """Carry nothing from now on; returns when no more byte passes."""
        log.info("link cut (%s)", manner)
        self._manner = manner
        self._through.clear()
        if manner == "refuse":
            await self._drop()

    async def heal(self) -> None:
        """Carry new connections again."""
        log.info("link healed")
        await self._drop()
        self._manner = None
        self._through.set()

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for server in self._servers:
            server.close()
        await self._drop()
        for server in self._servers:
            await server.wait_closed()

    async def _listen(self, mapping: PortMapping) -> asyncio.Server:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._links.add(task)
            try:
                await self._carry(mapping, reader, writer)
            except asyncio.CancelledError:
                # Cut: the server that owns this task takes a cancelled one for a fault.
                log.debug("connection to %s:%d cut", mapping.target_host, mapping.target_port)
            finally:
                self._links.discard(task)
                await _close(writer)

        return await asyncio.start_server(accepted, mapping.host, mapping.port)

    async def _carry(
        self, mapping: PortMapping, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._manner == "refuse":
            self.refused += 1
            return
        await self._through.wait()
        try:
            far_reader, far_writer = await asyncio.wait_for(
                asyncio.open_connection(mapping.target_host, mapping.target_port), CONNECT_TIMEOUT_S
            )
        except OSError as exc:
            log.debug("no way to %s:%d: %s", mapping.target_host, mapping.target_port, exc)
            return
        try:
            await self._both_ways(reader, writer, far_reader, far_writer)
        finally:
            await _close(far_writer)

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                await self._through.wait()
                self.carried_bytes += len(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def _drop(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
