"""From the deployment at the hub to running modules and to the first prediction there; the images are present."""

from __future__ import annotations

from time import perf_counter

from benchmarks.edge_device import PATIENCE_S, device
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN

RUNNING_S, PREDICTION_S = 1.0, 2.0


async def run(options: Options) -> Report:
    """Each round deploys camera and CNN to the same device, then removes them."""
    running: list[float] = []
    predicted: list[float] = []
    async with device(options) as edge:
        for _ in range(options.rounds):
            before = len(edge.watch.arrivals)
            started = perf_counter()
            await edge.deploy(frames=1)
            await edge.running(CNN, CAMERA)
            running.append(perf_counter() - started)
            await edge.watch.until(
                lambda before=before: len(edge.watch.arrivals) > before, PATIENCE_S, "no prediction arrived"
            )
            predicted.append(perf_counter() - started)
            await edge.clear()
    rows = [
        _row("deploy → all modules running, seen at the hub", running, RUNNING_S),
        _row("deploy → first prediction at the hub", predicted, PREDICTION_S),
    ]
    model = "a small CNN" if options.quick else "EfficientNet-Lite0"
    notes = [f"process engine, {model}; rounds in s: {_list(running)} and {_list(predicted)}"]
    return Report("deploy", rows, [*notes, "the first round also unpacks the images"])


def _row(what: str, values: list[float], limit: float) -> Row:
    return Row(what, "s", Side("device", values), Side(f"limit, {limit:g} s", [limit] * len(values)), "<=", 1.0)


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
