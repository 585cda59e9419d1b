"""A user's script served over HTTP until told to stop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from skerry.clock import Clock
from skerry.serve.driver.names import Names, RawHttp
from skerry.serve.driver.script import Script
from skerry.serve.environment import Environment
from skerry.serve.fronts.driver import DriverFront
from skerry.serve.http.listener import HttpListener
from skerry.serve.surface import handler_of

log = logging.getLogger(__name__)


def load_driver(driver: Path, settings: Environment) -> Script:
    """Import the script and run its ``init()``. Blocks; raises as ``Script.load``."""
    raw = RawHttp()
    return Script.load(driver, Names(raw), raw, model_dir=settings.model_dir)


async def serve_driver(
    settings: Environment, script: Script, stopping: asyncio.Event, *, clock: Clock, graceful_s: float
) -> None:
    """Answer over HTTP until ``stopping`` is set."""
    async with AsyncExitStack() as stack:
        front = DriverFront(script, admitted_max=settings.queue_max)
        stack.push_async_callback(front.close)
        listener = await HttpListener.start(
            handler_of(front.routes()), clock=clock, host=settings.http_host, port=settings.http_port
        )
        stack.push_async_callback(listener.close, graceful_s)
        log.info("driver: serving %s on %s:%d", settings.driver, settings.http_host, listener.port)
        if settings.edge:
            log.warning("a driver answers HTTP only: messages on inputs stay with the edge hub")
        await stopping.wait()
        log.info("stopping")
