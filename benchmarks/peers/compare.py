"""Ours and every peer under the same load, in turns, on the same model file."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.load.wrk import load, request_script
from benchmarks.peers.known import PEERS
from benchmarks.peers.models import Served, models
from benchmarks.peers.peer import NotInstalledError, Peer
from benchmarks.report import Report, Row
from benchmarks.rounds import Options, Sample, interleaved
from benchmarks.serving import module_processes, tensor_request

CONNECTIONS = (16, 1)
# The tutorial's own server; the targets name it.
TARGETS = {("small CNN, tensor", "azureml", 16): 10.0, ("ResNet50, JPEG", "azureml", 16): 1.2}


@dataclass(frozen=True)
class _Installed:
    peer: Peer
    place: Path


async def compare(wrk: str, options: Options) -> Report:
    """Requests a second at 16 connections and at one, ours against each peer that could be installed."""
    installed, notes = [], []
    for peer in PEERS:
        try:
            installed.append(_Installed(peer, await peer.install(options.cache)))
        except NotInstalledError as exc:
            notes.append(f"{peer.name} is left out: {exc}")
    cpus = len(os.sched_getaffinity(0))
    notes += [
        f"wrk, one thread, on the same {cpus} cores; load average {os.getloadavg()[0]:.1f} at the start",
        "peers: 16 connections: a worker per core with one engine thread; 1 connection: one with all cores",
        "litserve gets the body in base64, as its requests are JSON",
    ]
    rows: list[Row] = []
    for served in models(options):
        for connections in CONNECTIONS:
            rows += await _rows(wrk, served, connections, installed, options, notes)
    return Report("serving-peers", rows, notes)


async def _rows(
    wrk: str,
    served: Served,
    connections: int,
    installed: Sequence[_Installed],
    options: Options,
    notes: list[str],
) -> list[Row]:
    failed: dict[str, str] = {}

    async def theirs(one: _Installed) -> Sample:
        if one.peer.name in failed:
            return Sample(1.0)
        try:
            async with _peer(one, served, connections, options.work) as (port, script):
                return await _measured(wrk, script, port, connections, options)
        except (NotInstalledError, TimeoutError, RuntimeError) as exc:
            failed[one.peer.name] = (str(exc) or "it was not ready in time").strip().splitlines()[-1]
            return Sample(1.0)

    async def ours() -> Sample:
        async with _ours(served, options.work) as (port, script):
            return await _measured(wrk, script, port, connections, options)

    sides = await interleaved(
        {"skerry": ours, **{each.peer.name: partial(theirs, each) for each in installed}}, options.rounds
    )
    notes += [f"{served.name}, {connections}: {name} is left out: {why}" for name, why in failed.items()]
    return [
        Row(
            f"{served.name}, {connections} connection{'s' if connections > 1 else ''}",
            "req/s",
            sides["skerry"],
            sides[each.peer.name],
            ">=",
            TARGETS.get((served.name, each.peer.name, connections)),
        )
        for each in installed
        if each.peer.name not in failed
    ]


async def _measured(wrk: str, script: Path, port: int, connections: int, options: Options) -> Sample:
    await load(wrk, script, port, connections, 1)
    p50, p99, rate = await load(wrk, script, port, connections, options.pick(4, 1))
    return Sample(rate, {"p50 ms": p50, "p99 ms": p99})


@asynccontextmanager
async def _ours(served: Served, work: Path) -> AsyncIterator[tuple[int, Path]]:
    if served.kind == "tensor":
        script = tensor_request(served.package, work / "skerry.lua", served.body)
    else:
        script = request_script(work / "skerry.lua", "/score", served.body, {"Content-Type": "image/jpeg"})
    async with module_processes(served.package, 1) as (port, _):
        yield port, script


@asynccontextmanager
async def _peer(
    one: _Installed, served: Served, connections: int, work: Path
) -> AsyncIterator[tuple[int, Path]]:
    cpus = len(os.sched_getaffinity(0))
    workers, threads = (1, cpus) if connections == 1 else (cpus, 1)
    headers, body = {"Content-Type": "application/octet-stream"}, served.body
    if one.peer.base64:
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"body": base64.b64encode(body).decode()}).encode()
    script = request_script(work / f"{one.peer.name}.lua", "/score", body, headers)
    job = served.job(threads)
    async with one.peer.serving(one.place, work / one.peer.name, job, workers, body, headers) as port:
        yield port, script
