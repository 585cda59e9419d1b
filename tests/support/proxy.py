"""A network path that can go dead without a word: what is sent is swallowed, nothing is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65536


class Proxy:
    """Forwards TCP to ``target()``; connections that are stalled stay open and carry nothing any more."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._connections: dict[asyncio.Task[None], asyncio.Event] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    def stall(self) -> int:
        """Every connection goes dead; new ones work. How many were alive."""
        alive = [dead for dead in self._connections.values() if not dead.is_set()]
        for dead in alive:
            dead.set()
        return len(alive)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._server.close()
            tasks = list(self._connections)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        dead = self._connections[task] = asyncio.Event()
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target())
            ways = [
                asyncio.ensure_future(_forward(reader, far, dead)),
                asyncio.ensure_future(_forward(far_reader, writer, dead)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if dead.is_set():
                    # The other end does not hear that this one closed.
                    await asyncio.wait(ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            # Nobody there: to the near end it is a connection that ended.
            dead.set()
        finally:
            for end in filter(None, (writer, far)):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()
            del self._connections[task]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dead: asyncio.Event) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            if not dead.is_set():
                writer.write(data)
                await writer.drain()
    except OSError:
        # A connection that ended.
        dead.set()
