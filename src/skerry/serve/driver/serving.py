"""A user's script served over HTTP and by messages until told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
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
    settings: Environment,
    script: Script,
    environ: Mapping[str, str],
    stopping: asyncio.Event,
    *,
    clock: Clock,
    graceful_s: float,
) -> None:
    """Answer over HTTP, and messages where there is an edge device, until ``stopping`` is set."""
    async with AsyncExitStack() as stack:
        front = DriverFront(script, admitted_max=settings.queue_max)
        stack.push_async_callback(front.close)
        listener = await HttpListener.start(
            handler_of(front.routes()), clock=clock, host=settings.http_host, port=settings.http_port
        )
        stack.push_async_callback(listener.close, graceful_s)
        log.info("driver: serving %s on %s:%d", settings.driver, settings.http_host, listener.port)
        if settings.grpc_port is not None or settings.live_port is not None:
            log.warning("SKERRY_GRPC_PORT and SKERRY_LIVE_PORT are for models; a script has neither")
        if settings.edge:
            # Imported here, as for a model: without an edge device nothing of messaging is needed.
            from skerry.protocol.claims import ClaimStore, read_claim_settings
            from skerry.protocol.workload import module_client_from_environment
            from skerry.serve.driver.module import DriverModule

            shared = read_claim_settings(environ)
            claims = None if shared is None else ClaimStore(shared, clock)
            client = module_client_from_environment(environ, clock)
            module = DriverModule(client, front.run, name=str(settings.driver), claims=claims)
            await module.start()
            stack.push_async_callback(module.close)
        await stopping.wait()
        log.info("stopping")
