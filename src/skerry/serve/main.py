"""The CNN module's process: ``python -m skerry.serve.main``."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from skerry.clock import Clock, SystemClock
from skerry.errors import Damaged, InvalidInput, NotFound, PreconditionFailed, SkerryError
from skerry.serve.activation import Activated, activate
from skerry.serve.backends.onnx import OnnxPredictor
from skerry.serve.environment import Environment, read_environment
from skerry.serve.http_front import http_app
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer
from skerry.service.http import HttpServer
from skerry.service.lifecycle import run_until_signal
from skerry.service.log import configure

log = logging.getLogger(__name__)

# Exit codes are part of the contract with the agent (sysexits.h): only the last is worth a restart.
EXIT_SETTINGS = 78
EXIT_MODEL = 65
EXIT_UNAVAILABLE = 69

# Docker gives ten seconds between SIGTERM and SIGKILL.
GRACEFUL_S = 5.0


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM; 0 then, or a code above after one line on standard error."""
    try:
        settings = read_environment(environ, len(os.sched_getaffinity(0)))
        configure(settings.log_level)
    except InvalidInput as exc:
        return _fail(EXIT_SETTINGS, exc)
    try:
        activated = _activate(settings)
    except (NotFound, InvalidInput, Damaged, PreconditionFailed) as exc:
        return _fail(EXIT_MODEL, exc)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, activated, environ))
    except InvalidInput as exc:
        return _fail(EXIT_SETTINGS, exc)
    except SkerryError as exc:
        return _fail(EXIT_UNAVAILABLE, exc)
    return 0


async def serve(
    settings: Environment,
    activated: Activated,
    environ: Mapping[str, str],
    stopping: asyncio.Event,
    *,
    clock: Clock,
) -> None:
    """Answer over HTTP, and as a module where there is an edge device, until ``stopping`` is set."""
    measures = Measures()
    async with AsyncExitStack() as stack:
        scorer = Scorer(
            activated.package,
            activated.predictor,
            clock=clock,
            decode_threads=settings.decode_threads,
            admitted_max=settings.queue_max,
        )
        stack.push_async_callback(scorer.close)
        server = await HttpServer.start(
            http_app(scorer, measures),
            host=settings.http_host,
            port=settings.http_port,
            http="httptools",
            websockets="none",
        )
        stack.push_async_callback(server.close, GRACEFUL_S)
        log.info("serving %s on %s:%d", activated.package.digest, settings.http_host, server.port)
        if settings.edge:
            # Imported here: a module run without an edge device needs none of the messaging stack.
            from skerry.protocol.workload import module_client_from_environment
            from skerry.serve.module_front import ModuleFront

            client = module_client_from_environment(environ, clock)
            front = ModuleFront(client, scorer, activated.golden, measures, clock=clock)
            await front.start()
            stack.push_async_callback(front.close)
        await stopping.wait()
        log.info("stopping")


async def _serve(settings: Environment, activated: Activated, environ: Mapping[str, str]) -> None:
    clock = SystemClock()

    async def until(stopping: asyncio.Event) -> None:
        await serve(settings, activated, environ, stopping, clock=clock)

    await run_until_signal(until)


def _activate(settings: Environment) -> Activated:
    def open_predictor(model: Path) -> OnnxPredictor:
        return OnnxPredictor.open(model, threads=settings.threads)

    return activate(settings.model_dir, open_predictor, golden_max=settings.golden_max)


def _fail(code: int, error: SkerryError) -> int:
    sys.stderr.write(f"skerry serve: {' '.join(str(error).split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
