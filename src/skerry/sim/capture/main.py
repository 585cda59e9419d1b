"""The capture module's process: ``python -m skerry.sim.capture.main``."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from skerry.clock import Clock, SystemClock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.protocol.claims import ClaimStore, read_claim_settings
from skerry.protocol.client import DeviceClient
from skerry.protocol.workload import module_client_from_environment
from skerry.service.lifecycle import run_until_signal
from skerry.service.live_page import LivePage
from skerry.service.log import configure
from skerry.sim.capture.capture import Capture, Deliver
from skerry.sim.capture.deliver import HttpDelivery, MessageDelivery, Outlet, Watch
from skerry.sim.capture.settings import CaptureSettings, read_capture_settings
from skerry.sim.capture.source import FolderSource, Source

log = logging.getLogger(__name__)

Json = Any

EXIT_SETTINGS = 78

# Progress is for people and tests that watch the twin; more often would be noise for the hub.
REPORT_EVERY_S = 3.0


def opener(settings: CaptureSettings) -> Callable[[], Source]:
    """What opens the source, again and again. Raises NotFound for a file or folder that is not there."""
    place = Path(settings.place)
    if place.is_dir():
        return lambda: FolderSource(settings)
    if "://" not in settings.place and not settings.place.startswith("/dev/") and not place.is_file():
        raise NotFound(
            f"no folder or video file {settings.place}", hint="SKERRY_SOURCE or VIDEO_PATH names it"
        )
    try:
        # Imported here: a folder of pictures needs no video library.
        from skerry.sim.capture.video import VideoSource
    except ModuleNotFoundError as exc:
        raise InvalidInput(
            f"{settings.shown} needs {exc.name}, which is not installed", hint="pip install 'skerry[camera]'"
        ) from exc
    return lambda: VideoSource(settings)


async def run(environ: Mapping[str, str], stopping: asyncio.Event, *, clock: Clock) -> None:
    """Be the capture module of this environment until ``stopping`` is set. Raises what its settings lack."""
    settings = read_capture_settings(environ)
    shared = read_claim_settings(environ)
    claims = None if shared is None else ClaimStore(shared, clock)
    async with AsyncExitStack() as stack:
        client = None
        if environ.get("IOTEDGE_WORKLOADURI"):
            client = module_client_from_environment(environ, clock)
        page = None
        if settings.live_port is not None:
            page = LivePage(clock)
            await page.start("0.0.0.0", settings.live_port)
            stack.push_async_callback(page.close)
        deliver = _delivery(stack, settings, client, clock, claims, page)
        capture = Capture(
            opener(settings),
            deliver,
            clock=clock,
            roll=random.random,
            loop=settings.loop,
            frames_per_second=settings.frames_per_second,
        )
        if client is not None:
            await _connect(stack, client, capture, clock)
        log.info("capturing %s", settings.shown)
        await _play(capture, stopping)


def _delivery(
    stack: AsyncExitStack,
    settings: CaptureSettings,
    client: DeviceClient | None,
    clock: Clock,
    claims: ClaimStore | None,
    page: LivePage | None,
) -> Deliver:
    outlet = None if client is None else Outlet(client, settings.name, clock)
    watch: Watch | None = None if page is None else page.publish
    if settings.endpoint is not None:
        posting = HttpDelivery(settings.endpoint, settings.params, settings.name, outlet=outlet, watch=watch)
        stack.push_async_callback(posting.close)
        return posting
    if outlet is None:
        raise InvalidInput(
            "nowhere to send frames",
            hint="set IMAGE_PROCESSING_ENDPOINT, or run as a module of an edge device",
        )
    return MessageDelivery(outlet, claims, watch)


async def _play(capture: Capture, stopping: asyncio.Event) -> None:
    playing = asyncio.create_task(capture.run())
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((playing, stop), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            await playing
            # A module that ends would be started again, and its film with it.
            log.info("the film is over: %s", capture.counts.to_json())
            await stop
    finally:
        stop.cancel()
        playing.cancel()
        await asyncio.gather(playing, stop, return_exceptions=True)


async def _connect(stack: AsyncExitStack, client: DeviceClient, capture: Capture, clock: Clock) -> None:
    def status() -> dict[str, Json]:
        return {"playing": capture.playing, **capture.counts.to_json()}

    async def on_method(request: MethodRequest) -> MethodResponse:
        if request.name.lower() == "status":
            return MethodResponse(200, status())
        return MethodResponse(404, {"message": f"no method {request.name}; there is status"})

    client.on_method = on_method
    await client.start()
    stack.push_async_callback(client.stop)
    reporting = asyncio.create_task(_keep_reporting(client, status, clock))
    stack.push_async_callback(_end, reporting)


async def _keep_reporting(client: DeviceClient, status: Callable[[], dict[str, Json]], clock: Clock) -> None:
    told: Json = None
    while True:
        if (found := status()) != told:
            try:
                await client.report({"capture": found})
                told = found
            except SkerryError as exc:
                log.info("not reported yet: %s", exc)
        await clock.sleep(REPORT_EVERY_S)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Capture until SIGTERM; 0 then, or 78 after one line on standard error when the settings are wrong."""

    async def until(stopping: asyncio.Event) -> None:
        await run(environ, stopping, clock=SystemClock())

    try:
        verbose = environ.get("VERBOSE", "").strip().lower() in ("true", "1", "yes", "on")
        configure(environ.get("SKERRY_LOG_LEVEL") or ("debug" if verbose else "info"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_signal(until))
    except SkerryError as exc:
        sys.stderr.write(f"skerry capture: {' '.join(str(exc).split())}\n")
        return EXIT_SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
