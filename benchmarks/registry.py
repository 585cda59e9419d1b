"""The hub's container registry: a large layer pushed and pulled over TLS, beside disk and hash alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

from benchmarks.process import rss_mb
from benchmarks.report import Report, Row
from benchmarks.rounds import Options, Sample, interleaved, side
from benchmarks.servers import answers, free_port
from skerry.cli.demo.processes import Process
from skerry.cli.registry_login import registry_session
from skerry.clock import SystemClock
from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import OCI_LAYER, Descriptor, Image, Layer, RunConfig, assemble
from skerry.oci.layout import write_layout
from skerry.oci.registry.pull import pull
from skerry.oci.registry.push import push
from skerry.oci.registry.session import Registry

# The layer of an inference engine, compressed, is 20 to 100 MB.
LAYER_BYTES = 64_000_000
CHUNK_BYTES = 1 << 20


async def run(options: Options) -> Report:
    """Each round pushes a layer that the registry does not have, and pulls it into an empty folder."""
    size = options.pick(LAYER_BYTES, 200_000)
    numbers = iter(range(1_000))
    pulls: list[Sample] = []
    async with _hub(options.work / "hub") as (hub, port):

        async def pushed_and_pulled() -> Sample:
            work = options.work / f"round-{next(numbers)}"
            data = await asyncio.to_thread(random.Random(str(work)).randbytes, size)
            image = await asyncio.to_thread(_layout, work, data)
            async with _session(options.work / "hub", port) as registry:
                began = perf_counter()
                await push(registry, "bench/layer", work.name, [work / "layout"])
                push_s = perf_counter() - began
            async with _session(options.work / "hub", port) as registry:
                began = perf_counter()
                found, _ = await pull(
                    registry, "bench/layer", work.name, work / "back", work / "kept", name="bench/layer:1"
                )
                pull_s = perf_counter() - began
            assert found.descriptor.digest == image.manifest_digest
            pulls.append(Sample(size / pull_s / 1e6))
            return Sample(size / push_s / 1e6, {"hub RSS MB": rss_mb(hub.pid)})

        async def disk_and_hash() -> Sample:
            work = options.work / f"round-{next(numbers)}"
            data = await asyncio.to_thread(random.Random(str(work)).randbytes, size)
            began = perf_counter()
            await asyncio.to_thread(_write, work, data)
            return Sample(size / (perf_counter() - began) / 1e6)

        sides = await interleaved({"hub": pushed_and_pulled, "disk and hash": disk_and_hash}, options.rounds)
    ours, floor = sides["hub"], sides["disk and hash"]
    return Report(
        "registry",
        [
            Row("push of a layer over TLS", "MB/s", ours, floor),
            Row("pull of a layer over TLS", "MB/s", side("hub", pulls), floor),
        ],
        [
            f"one layer of {size / 1e6:g} MB; client and hub are processes of one machine; the other side is"
            " one process that hashes the same bytes and writes them durably, once",
        ],
    )


@asynccontextmanager
async def _hub(folder: Path) -> AsyncIterator[tuple[Process, int]]:
    https, mqtt = free_port(), free_port()
    ports = ("--https-port", str(https), "--mqtt-port", str(mqtt), "--log-level", "warning")
    os.makedirs(folder, exist_ok=True)
    command = ["hub", "up", "--dir", str(folder), "--registry-keep-free", "0", *ports]
    process = Process("the hub", command, folder / "log", SystemClock())
    await process.start()
    try:
        await process.until(lambda: answers(mqtt))
        yield process, https
    finally:
        await process.stop()


def _session(folder: Path, port: int) -> Registry:
    return registry_session(f"localhost:{port}", SystemClock(), hub_dir=folder, ca=None, insecure=False)


def _layout(work: Path, data: bytes) -> Image:
    digest = digest_of(data)
    blobs = work / "blobs"
    blobs.mkdir(parents=True)
    (blobs / digest.hex).write_bytes(data)
    layer = Layer(Descriptor(OCI_LAYER, digest, len(data)), digest, "noise")
    image = assemble([layer], RunConfig(entrypoint=("/bin/true",)), "amd64")

    def blob(digest: Digest) -> Path:
        return blobs / digest.hex

    write_layout(work / "layout", image, "bench:1", blob)
    return image


def _write(work: Path, data: bytes) -> None:
    work.mkdir()
    found = hashlib.sha256()
    with (work / "file").open("wb") as file:
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = data[start : start + CHUNK_BYTES]
            found.update(chunk)
            file.write(chunk)
        os.fsync(file.fileno())
