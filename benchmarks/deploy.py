"""From the deployment at the hub to running modules and the first prediction; the images are present."""

from __future__ import annotations

from time import perf_counter

from benchmarks.edge_device import device, images
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN

RUNNING_S, PREDICTION_S = 1.0, 2.0


async def run(options: Options) -> Report:
    """Each round deploys camera and CNN to a new device at a new hub."""
    loaded: list[float] = []
    running: list[float] = []
    predicted: list[float] = []
    built = await images(options)
    for number in range(options.rounds):
        async with device(options.work / f"stage-{number}", built) as edge:
            begun = perf_counter()
            await edge.load()
            loaded.append(perf_counter() - begun)
            started = perf_counter()
            await edge.deploy(frames=1)
            await edge.running(CNN, CAMERA)
            running.append(perf_counter() - started)
            await edge.predicted(1)
            predicted.append(perf_counter() - started)
    rows = [
        _row("deploy → all modules running, seen at the hub", running, RUNNING_S),
        _row("deploy → first prediction at the hub", predicted, PREDICTION_S),
    ]
    model = "a small CNN" if options.quick else "EfficientNet-Lite0"
    notes = [f"process engine, {model}; rounds in s: {_list(running)} and {_list(predicted)}"]
    notes.append(f"unpacking both images into the engine came before, s: {_list(loaded)}")
    return Report("deploy", rows, notes)


def _row(what: str, values: list[float], limit: float) -> Row:
    return Row(
        what, "s", Side("device", values), Side(f"limit, {limit:g} s", [limit] * len(values)), "<=", 1.0
    )


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
