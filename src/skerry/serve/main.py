"""The CNN module's process: ``python -m skerry.serve.main``."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import uvloop

from skerry.clock import Clock, SystemClock
from skerry.errors import (
    Damaged,
    InvalidInput,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    SkerryError,
    StorageFull,
    Unavailable,
)
from skerry.serve.activation import Activated
from skerry.serve.environment import Environment, read_environment
from skerry.serve.fronts.answers import Plane
from skerry.serve.http.listener import HttpListener
from skerry.serve.loading import computes_in_loop, load
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer
from skerry.serve.surface import http_handler
from skerry.service.lifecycle import run_until_signal
from skerry.service.log import configure

if TYPE_CHECKING:
    from skerry.serve.driver.script import Script
    from skerry.serve.rpc.server import RpcListener
    from skerry.serve.update.restore import Restored
    from skerry.serve.update.shelf import Shelf

log = logging.getLogger(__name__)

# Exit codes are part of the contract with the agent (sysexits.h): only the last is worth a restart.
EXIT_SETTINGS = 78
EXIT_MODEL = 65
EXIT_UNAVAILABLE = 69

# Docker gives ten seconds between SIGTERM and SIGKILL.
GRACEFUL_S = 5.0


class Work(Protocol):
    """What the process does until the event is set."""

    async def __call__(self, stopping: asyncio.Event, *, clock: Clock) -> None:
        """Serve."""


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM; 0 then, or a code above after one line on standard error."""
    try:
        settings = read_environment(environ, len(os.sched_getaffinity(0)))
        configure(settings.log_level)
    except InvalidInput as exc:
        return _fail(EXIT_SETTINGS, exc)
    work: Work
    try:
        if settings.driver is not None:
            work = partial(_serve_driver, settings, _load_driver(settings.driver, settings), environ)
        else:
            work = _serving(settings, environ)
    except (NotFound, InvalidInput, Damaged, NotAllowed, PreconditionFailed, Unavailable) as exc:
        return _fail(EXIT_MODEL, exc)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(work))
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
    kept: tuple[Shelf, Restored] | None = None,
) -> None:
    """Answer over HTTP, and as a module where there is an edge device, until ``stopping`` is set.

    ``kept``: where updates of the model are, and what came of restoring ``activated`` from there.
    """
    measures = Measures()
    async with AsyncExitStack() as stack:
        scorer = Scorer(
            activated.package,
            activated.predictor,
            clock=clock,
            decode_threads=settings.decode_threads,
            admitted_max=settings.queue_max,
            in_loop=computes_in_loop(settings, activated),
        )
        stack.push_async_callback(scorer.close)
        listener = await HttpListener.start(
            http_handler(scorer, measures, latest=settings.latest_wins),
            clock=clock,
            host=settings.http_host,
            port=settings.http_port,
            reuse_port=settings.http_shared,
        )
        stack.push_async_callback(listener.close, GRACEFUL_S)
        if settings.grpc_port is not None:
            rpc = await _start_grpc(Plane(scorer, measures), settings.http_host, settings.grpc_port)
            stack.push_async_callback(rpc.close, GRACEFUL_S)
        if settings.live_port is not None:
            await _start_live_page(stack, scorer, settings.http_host, settings.live_port, clock)
        log.info(
            "computing %s: serving %s on %s:%d",
            *("in the loop" if scorer.in_loop else "on a thread", activated.package.digest),
            *(settings.http_host, listener.port),
        )
        if settings.edge:
            # Imported here: a module run without an edge device needs none of the messaging stack.
            from skerry.protocol.claims import ClaimStore, read_claim_settings
            from skerry.protocol.workload import module_client_from_environment
            from skerry.serve.module_front import ModuleFront

            shared = read_claim_settings(environ)
            claims = None if shared is None else ClaimStore(shared, clock)
            client = module_client_from_environment(environ, clock)
            models = None
            if kept is not None:
                from skerry.serve.update.assembly import start_updates
                from skerry.serve.update.twin import ModelTwin

                updates = start_updates(settings, scorer, *kept, clock=clock)
                stack.push_async_callback(updates.close)
                models = ModelTwin(updates)
            front = ModuleFront(
                client, scorer, activated, measures, clock=clock, models=models, claims=claims
            )
            await front.start()
            stack.push_async_callback(front.close)
        if settings.crew_member:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopping.set)
        if settings.processes > 1:
            await _serve_together(settings, environ, listener.port, stopping)
        else:
            await stopping.wait()
        log.info("stopping")


async def _serve_together(
    settings: Environment, environ: Mapping[str, str], port: int, stopping: asyncio.Event
) -> None:
    """Until ``stopping`` is set. Raises Unavailable when one of the processes ends before."""
    # Imported here: one process needs none of it.
    from skerry.serve.crew import Crew

    crew = await Crew.start(settings.processes - 1, environ, port=port, threads=settings.threads)
    waits = [asyncio.create_task(stopping.wait()), asyncio.create_task(crew.broken())]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await crew.close()


async def _start_grpc(plane: Plane, host: str, port: int) -> RpcListener:
    try:
        # Imported here: it costs some 20 MB and a fifth of a second where it is wanted, nothing elsewhere.
        from skerry.serve.rpc.server import RpcListener
    except ModuleNotFoundError as exc:
        raise InvalidInput(
            f"SKERRY_GRPC_PORT is set, but {exc.name} is not installed",
            hint="build the image with --grpc (pip install 'skerry[grpc]'), or leave the variable out",
            field="SKERRY_GRPC_PORT",
        ) from exc
    listener = await RpcListener.start(plane, host=host, port=port)
    log.info("serving gRPC on %s:%d", host, listener.port)
    return listener


async def _start_live_page(stack: AsyncExitStack, scorer: Scorer, host: str, port: int, clock: Clock) -> None:
    # Imported here: the page stands on a web framework that nothing else in the module needs.
    from skerry.serve.watching import Watcher
    from skerry.service.live_page import LivePage

    page = LivePage(clock)
    await page.start(host, port)
    watcher = Watcher(page)
    scorer.watch = watcher.seen
    stack.callback(watcher.close)
    stack.push_async_callback(page.close)
    log.info("live page on %s:%d", host, page.port)


async def _serve(work: Work) -> None:
    clock = SystemClock()

    async def until(stopping: asyncio.Event) -> None:
        await work(stopping, clock=clock)

    await run_until_signal(until)


def _load_driver(driver: Path, settings: Environment) -> Script:
    # Imported here: most modules serve a model package and need none of it.
    from skerry.serve.driver.serving import load_driver

    return load_driver(driver, settings)


async def _serve_driver(
    settings: Environment,
    script: Script,
    environ: Mapping[str, str],
    stopping: asyncio.Event,
    *,
    clock: Clock,
) -> None:
    from skerry.serve.driver.serving import serve_driver

    await serve_driver(settings, script, environ, stopping, clock=clock, graceful_s=GRACEFUL_S)


def _serving(settings: Environment, environ: Mapping[str, str]) -> Work:
    """Load the model that is to be served. Raises why none can be."""
    if settings.update is None:
        return partial(serve, settings, load(settings, settings.model_dir), environ)
    # Imported here: a module whose model is always its image's needs none of it.
    from skerry.serve.update.restore import restore
    from skerry.serve.update.shelf import Shelf

    try:
        shelf = Shelf(settings.update.state_dir)
    except (Unavailable, StorageFull) as exc:
        # Better the image's model than none.
        log.error("no updates of the model: %s", exc)
        return partial(serve, settings, load(settings, settings.model_dir), environ)
    restored = restore(shelf, settings.model_dir, partial(load, settings))
    return partial(serve, settings, restored.activated, environ, kept=(shelf, restored))


def _fail(code: int, error: SkerryError) -> int:
    sys.stderr.write(f"skerry serve: {' '.join(str(error).split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
