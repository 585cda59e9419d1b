"""A line to a registry that breaks: each time it has carried so many bytes more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READ_BYTES = 16_384


class BrokenLine:
    """Forwards TCP to a port; the connection that carries the last byte of each of ``bounds`` is cut off."""

    def __init__(self, target: int, bounds: list[int]) -> None:
        self._target = target
        self._bounds = bounds
        self._carried = 0
        self.bytes = 0
        self.breaks = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BrokenLine]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.ensure_future(self._forward(reader, far)),
            asyncio.ensure_future(self._forward(far_reader, writer)),
        ]
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        cut = any(way.result() for way in done)
        for end in (writer, far):
            end.transport.abort() if cut else end.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Until an end closes, or the line breaks: then true."""
        with suppress(OSError):
            while data := await reader.read(READ_BYTES):
                self._carried += len(data)
                self.bytes += len(data)
                if self._bounds and self._carried > self._bounds[0]:
                    self._carried -= self._bounds.pop(0)
                    self.breaks += 1
                    return True
                writer.write(data)
                await writer.drain()
        return False
