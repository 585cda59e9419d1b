"""Prepared tensors over HTTP (Open Inference Protocol, binary) against the engine alone, loaded by wrk.

Beside ``module``, which sends image files: here no decoder hides what the server costs. The floor is the best
that one image after another gives in process on all cores, so one server process may use all of them too
(``SKERRY_THREADS``); two have one each. wrk takes its share of the same cores, and the floor has none.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np

from benchmarks.convnet import digits_convnet
from benchmarks.load.wrk import load, request_script
from benchmarks.models import Model, small
from benchmarks.process import cpu_seconds, rss_mb, ticks
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options, Sample, interleaved
from benchmarks.servers import answers, end, free_port
from skerry.package.manifest import Package
from skerry.serve.backends.onnx import OnnxPredictor

TOP = 5
SLACK_MS = 0.2
P99_MS = 4.0
# What a busy neighbour changes least: processor time, not the clock's.
CPU_EACH = "CPU µs/img"
READY_S = 30.0

Compare = Callable[[str, Options], Awaitable[Report]]


async def run(options: Options) -> Report:
    """One process and two on one port at 16 connections, and one connection."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return Report(
            "serving", [], ["wrk is not installed (Debian: apt-get install wrk): nothing was measured"]
        )
    if options.peers:
        # Resolved now: it needs this module.
        compare: Compare = import_module("benchmarks.peers.compare").compare
        return await compare(wrk, options)
    rows: list[Row] = []
    # The targets were set on a net of this kind (0.1 ms); for the other, an engine of 15 µs is the floor.
    rows += await _rows(wrk, digits_convnet(options.work / "digits"), options, judged=True)
    rows += await _rows(wrk, small(options.work / "small"), options, judged=False)
    cpus = len(os.sched_getaffinity(0))
    return Report("serving", rows, [f"wrk, one thread, on the same {cpus} cores as the server"])


async def _rows(wrk: str, model: Model, options: Options, *, judged: bool) -> list[Row]:
    script = tensor_request(model.package, options.work / "tensor.lua", _body(_shape(model)))
    seconds = options.pick(4, 1)
    cpus = len(os.sched_getaffinity(0))

    async def served(connections: int, processes: int) -> Sample:
        async with module_processes(model.package, processes) as (port, pids):
            await load(wrk, script, port, connections, 1)
            before = sum(map(cpu_seconds, pids))
            p50, p99, rate = await load(wrk, script, port, connections, seconds)
            seen = {"p50 ms": p50, "p99 ms": p99, "RSS MB": max(map(rss_mb, pids))}
            cpu = sum(map(cpu_seconds, pids)) - before
            seen |= {"server CPU %": cpu / seconds * 100, CPU_EACH: cpu / (rate * seconds) * 1e6}
            return Sample(p50 if connections == 1 else rate, seen)

    async def floor() -> Sample:
        images = options.pick(20_000, 500)
        before = process_time()
        rate = await asyncio.to_thread(_best_rate, model, cpus, images)
        # Both ways of asking were run.
        return Sample(rate, {CPU_EACH: (process_time() - before) / (2 * images) * 1e6})

    async def lone() -> Sample:
        return Sample(await asyncio.to_thread(_lone_ms, model, options.pick(5000, 100)))

    busy = await interleaved(
        {"one": lambda: served(16, 1), "two": lambda: served(16, 2), "floor": floor}, options.rounds
    )
    single = await interleaved({"module": lambda: served(1, 1), "floor": lone}, options.rounds)
    engine = Side("engine in process", busy["floor"].values, busy["floor"].seen)
    slack = Side(f"engine + {SLACK_MS} ms", [each + SLACK_MS for each in single["floor"].values])
    name = model.name
    slowest = Side("module", [busy["one"].seen["p99 ms"]])
    limit = Side(f"limit, {P99_MS:g} ms", [P99_MS])
    return [
        Row(f"{name}, 16 connections", "img/s", busy["one"], engine, ">=", 1.0 if judged else None),
        Row(f"{name}, 16 connections, p99", "ms", slowest, limit, "<=", 1.0 if judged else None),
        Row(f"{name}, 16, two processes", "img/s", busy["two"], engine, ">=", 1.4 if judged else None),
        Row(f"{name}, 1 connection, p50", "ms", single["module"], slack, "<=", 1.0),
    ]


def _handle(predictor: OnnxPredictor, shape: Sequence[int], body: bytes) -> bytes:
    """What a server does for one request, without the server."""
    scores = predictor.infer(np.frombuffer(body, np.float32).reshape(shape))[0]
    best = np.argsort(-scores)[:TOP]
    return json.dumps([[int(place), float(scores[place])] for place in best]).encode()


def _shape(model: Model) -> tuple[int, ...]:
    spec = Package.open(model.package).recipe.input
    return (1, spec.height, spec.width, spec.channels)


def _body(shape: Sequence[int]) -> bytes:
    return np.random.default_rng(1).random(shape, np.float32).tobytes()


def _best_rate(model: Model, cpus: int, requests: int) -> float:
    """Requests a second: the better of one stream on all cores and one stream per core."""
    return max(_rate(model, 1, cpus, requests), _rate(model, cpus, 1, requests))


def _rate(model: Model, streams: int, threads: int, requests: int) -> float:
    shape, path = _shape(model), Package.open(model.package).model_path
    body = _body(shape)
    predictors = [OnnxPredictor.open(path, threads=threads) for _ in range(streams)]

    def work(predictor: OnnxPredictor) -> None:
        for _ in range(requests // streams):
            _handle(predictor, shape, body)

    began = perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(work, predictors))
    took = perf_counter() - began
    for predictor in predictors:
        predictor.close()
    return requests // streams * streams / took


def _lone_ms(model: Model, requests: int) -> float:
    shape, path = _shape(model), Package.open(model.package).model_path
    predictor, body, found = OnnxPredictor.open(path, threads=1), _body(shape), []
    for _ in range(requests):
        began = perf_counter()
        _handle(predictor, shape, body)
        found.append((perf_counter() - began) * 1000)
    predictor.close()
    return median(found)


def tensor_request(package: Path, script: Path, body: bytes) -> Path:
    """wrk's request: the tensor in binary, the five best classes back."""
    opened = Package.open(package)
    spec = opened.recipe.input
    asked = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": "FP32",
                "shape": [1, spec.height, spec.width, spec.channels],
                "parameters": {"binary_data_size": len(body)},
            }
        ],
        "outputs": [{"name": opened.recipe.output.name, "parameters": {"classification": TOP}}],
    }
    start = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(start))}
    return request_script(script, f"/v2/models/{opened.name}/infer", start + body, headers)


@asynccontextmanager
async def module_processes(package: Path, processes: int) -> AsyncIterator[tuple[int, list[int]]]:
    """The module's program, so many times on one port."""
    port = free_port()
    settings = {
        "SKERRY_MODEL_DIR": str(package),
        "SKERRY_HTTP_HOST": "127.0.0.1",
        "SKERRY_HTTP_PORT": str(port),
        "SKERRY_HTTP_SHARED": "1",
        "SKERRY_THREADS": str(max(1, len(os.sched_getaffinity(0)) // processes)),
        "SKERRY_LOG_LEVEL": "warning",
    }
    command = (sys.executable, "-m", "skerry.serve.main")
    running = [
        await asyncio.create_subprocess_exec(*command, env={**os.environ, **settings})
        for _ in range(processes)
    ]
    try:
        async with asyncio.timeout(READY_S):
            async for _ in ticks(0.02):
                if await answers(port):
                    break
            # The others listen a moment after the first.
            await asyncio.sleep(0.5 * (processes - 1))
        yield port, [process.pid for process in running]
    finally:
        for process in running:
            await end(process)
