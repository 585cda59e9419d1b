"""A power cycle without a network: from the start of the runtime to every module predicting again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import perf_counter

import httpx

from benchmarks.edge_device import Device, device, images, until
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN
from skerry.clock import SystemClock
from skerry.edge.engine.process import ProcessEngine

LIMIT_S = 10.0
# More frames than a round takes: the camera must not be finished before the power is cut.
FRAMES = 1_000_000
# A module that ran for longer than the first back-off was well; a real power cycle is known by its boot id.
WELL_AFTER_S = 11.0


async def run(options: Options) -> Report:
    """Each round deploys, lets everything run, kills all of the device at once with the link cut."""
    up: list[float] = []
    predicting: list[float] = []
    built = await images(options)
    for number in range(options.rounds):
        async with device(options.work / f"stage-{number}", built) as edge:
            await edge.load()
            await edge.deploy(frames=FRAMES)
            await edge.running(CNN, CAMERA)
            await edge.predicted(1)
            await asyncio.sleep(WELL_AFTER_S)
            assert edge.stage.link is not None
            await edge.stage.link.cut()
            await _power_off(edge)
            started = perf_counter()
            await edge.stage.open_edge()
            up.append(perf_counter() - started)
            await _predicting(edge)
            predicting.append(perf_counter() - started)
    model = "a small CNN" if options.quick else "EfficientNet-Lite0"
    row = Row(
        "power cycle without a network → all modules predicting",
        "s",
        Side("device", predicting),
        Side(f"limit, {LIMIT_S:g} s", [LIMIT_S] * len(predicting)),
        "<=",
        1.0,
    )
    rounds = ", ".join(f"{value:.2f}" for value in predicting)
    answers = ", ".join(f"{value:.2f}" for value in up)
    return Report(
        "power_cycle",
        [row],
        [f"process engine, {model}; rounds in s: {rounds}; the runtime answered after {answers}"],
    )


async def _power_off(edge: Device) -> None:
    """Everything of the device ends at once, nobody gets to say good-bye."""
    state = edge.stage.place.device / "engine"
    engine = ProcessEngine(
        state_dir=state, images_dir=edge.stage.place.images, bwrap=None, clock=SystemClock()
    )
    pids = [module.pid for module in await engine.observe() if module.pid is not None]
    await engine.close()
    await edge.stage.edge.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def _predicting(edge: Device) -> None:
    """Until the new edge hub has taken a prediction from the CNN module."""
    await _until_counted(edge.stage.management_socket, f'/{CNN}"')


async def _until_counted(socket: Path, sender: str) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:

        async def counted() -> bool:
            text = (await client.get("/metrics")).text
            return any(
                line.startswith("edgehub_messages_received_total{") and sender in line
                for line in text.splitlines()
            )

        await until(counted)
