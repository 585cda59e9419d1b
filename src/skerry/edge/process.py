"""The runtime's process: it serves until a signal, and tells systemd how it is."""

from __future__ import annotations

import asyncio
import os

from skerry.clock import SystemClock
from skerry.edge.main import EdgeAddresses, run
from skerry.edge.settings import EdgeSettings
from skerry.service.loop import serve_until_signal
from skerry.service.systemd import Notifier


def main(settings: EdgeSettings) -> None:
    """Serve until SIGINT or SIGTERM. Raises as ``run``."""
    notifier = Notifier(os.environ)

    def ready(addresses: EdgeAddresses) -> None:
        notifier.ready()
        notifier.status(f"engine {addresses.engine}, modules reach {addresses.gateway_name}")

    async def serve(stop: asyncio.Event) -> None:
        alive = asyncio.create_task(notifier.watchdog(SystemClock()))
        try:
            await run(settings, stop, ready)
        finally:
            notifier.stopping()
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)

    serve_until_signal(serve)
