"""The CNN module over HTTP against its engine in process, and against Keras."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter

from benchmarks import floor
from benchmarks.load.http import post, post_all
from benchmarks.models import Model, lite0, small
from benchmarks.process import cpu_seconds, rss_mb, ticks
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options, Sample, interleaved
from benchmarks.servers import end, free_port
from skerry.model import keras_runtime

CONNECTIONS = 16
READY_S = 30.0
POLL_S = 0.002
# Without spinning threads a hop between them costs this much.
SLACK_MS = 0.2


async def run(options: Options) -> Report:
    """The first, third and fourth rows of the targets; ``quick`` leaves the large model out."""
    models = [small(options.work / "small")]
    if not options.quick:
        models.append(lite0(options.work / "lite0", options.cache))
    rows: list[Row] = []
    notes = [f"raw images to /score; the client is asyncio in one process; {os.cpu_count()} cores for all"]
    if not keras_runtime.is_installed():
        notes.append("Keras is not installed: its rows are left out")
    for model in models:
        rows += await _rows(model, options)
    return Report("module", rows, notes)


async def _rows(model: Model, options: Options) -> list[Row]:
    tiny = model.name == "small"
    images = options.pick(8000 if tiny else 400, 40)
    cpus = len(os.sched_getaffinity(0))
    bodies = model.bodies()

    async def busy() -> Sample:
        async with _server(model) as (port, pid):
            await post_all(port, bodies, CONNECTIONS, images // 8)
            before = cpu_seconds(pid)
            answers = await post_all(port, bodies, CONNECTIONS, images)
            seen = {
                "p50 ms": answers.percentile_ms(50),
                "p99 ms": answers.percentile_ms(99),
                "server CPU %": (cpu_seconds(pid) - before) / answers.seconds * 100,
                "client CPU %": answers.cpu_seconds / answers.seconds * 100,
            }
            return Sample(answers.rate, seen)

    async def busy_floor() -> Sample:
        return Sample(await floor.throughput(model.package, bodies, images, cpus))

    async def single() -> Sample:
        async with _server(model) as (port, pid):
            await post_all(port, bodies, 1, images // 16 + 1)
            answers = await post_all(port, bodies, 1, images // 4)
            return Sample(
                answers.percentile_ms(50), {"p99 ms": answers.percentile_ms(99), "RSS MB": rss_mb(pid)}
            )

    async def single_floor() -> Sample:
        taken = await floor.latencies_ms(model.package, bodies, images // 4, cpus)
        return Sample(median(taken), {"p99 ms": taken[len(taken) * 99 // 100]})

    async def cold() -> Sample:
        started = perf_counter()
        async with _server(model, bodies[0]) as (_, pid):
            return Sample(perf_counter() - started, {"RSS MB": rss_mb(pid)})

    sides = await interleaved({"busy": busy, "floor": busy_floor}, options.rounds)
    name = model.name
    rows = [
        Row(
            f"{name}, {CONNECTIONS} connections",
            "img/s",
            _named(sides["busy"], "module"),
            _named(sides["floor"], "engine in process"),
            ">=",
            1.0 if tiny else 0.95,
        )
    ]
    sides = await interleaved({"single": single, "floor": single_floor}, options.rounds)
    ours, bare = _named(sides["single"], "module"), sides["floor"]
    slack = Side(f"engine + {SLACK_MS} ms", [value + SLACK_MS for value in bare.values], bare.seen)
    rows.append(Row(f"{name}, 1 connection, p50", "ms", ours, slack, "<=", 1.0))
    starts = await interleaved({"module": cold}, options.rounds)
    limit = 0.3 if tiny else 1.0
    rows.append(
        Row(
            f"{name}, exec → first answer",
            "s",
            starts["module"],
            _limit(limit, options.rounds, "s"),
            "<=",
            1.0,
        )
    )
    if tiny:
        memory = Side("module", [starts["module"].seen["RSS MB"]])
        rows.append(Row(f"{name}, RSS", "MB", memory, _limit(60.0, 1, "MB"), "<=", 1.0))
    if keras_runtime.is_installed():
        rows.append(await _keras_row(model, ours, options))
    return rows


async def _keras_row(model: Model, ours: Side, options: Options) -> Row:
    """Batch 1: our server's answers a second on one connection, against ``model.predict``."""

    async def keras() -> Sample:
        found = await _keras(model, options.pick(100, 3))
        return Sample(1000 / median(found["each_ms"]), {"import → first, s": found["first_ms"][0] / 1000})

    peer = (await interleaved({"Keras predict": keras}, options.rounds))["Keras predict"]
    rate = Side("module over HTTP", [1000 / p50 for p50 in ours.values])
    return Row(f"{model.name}, batch 1", "img/s", rate, peer, ">=", 2.5)


async def _keras(model: Model, images: int) -> dict[str, list[float]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.keras_child", str(model.keras_file), str(model.package)),
        *(str(images), *map(str, model.pictures)),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"Keras ended with {process.returncode}: {err.decode()[-500:]}")
    found = json.loads(out)
    return {"first_ms": [found["first_ms"]], "each_ms": found["each_ms"]}


@asynccontextmanager
async def _server(model: Model, first: bytes | None = None) -> AsyncIterator[tuple[int, int]]:
    """The module's own program: port and process id, once it has answered its first picture."""
    port = free_port()
    settings = {
        "SKERRY_MODEL_DIR": str(model.package),
        "SKERRY_HTTP_HOST": "127.0.0.1",
        "SKERRY_HTTP_PORT": str(port),
        "SKERRY_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "skerry.serve.main", env={**os.environ, **settings}
    )
    try:
        await _first_answer(port, first or model.bodies()[0])
        yield port, process.pid
    finally:
        await end(process)


async def _first_answer(port: int, body: bytes) -> None:
    async with asyncio.timeout(READY_S):
        async for _ in ticks(POLL_S):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            try:
                await post(reader, writer, body)
                return
            finally:
                writer.close()
                await writer.wait_closed()


def _named(side: Side, name: str) -> Side:
    return Side(name, side.values, side.seen)


def _limit(value: float, rounds: int, unit: str) -> Side:
    return Side(f"limit, {value:g} {unit}", [value] * rounds)
