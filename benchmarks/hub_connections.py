"""Many devices at one hub: 10,000 MQTT connections over TLS, and a message from each, beside mosquitto."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.process import cpu_seconds, rss_mb
from benchmarks.report import Report, Row, Sense, Side
from benchmarks.rounds import Options, Sample, interleaved
from benchmarks.servers import answers, end, free_port, mosquitto
from skerry.cli.demo.processes import Process
from skerry.clock import SystemClock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.hub import certificates
from skerry.hub.setup import connection_string
from skerry.service.tls import client_context

CONNECTIONS = 10_000
# Handshakes under way at once: a crowd after a power cut, not one after the other.
AT_ONCE = 200
# Identities per call of the registry, its limit.
BULK = 100
MESSAGE_BYTES = 256
# Of every device of the benchmark; base64.
KEY = "b25lIGtleSBmb3IgYWxsIG9mIHRoZSBiZW5jaG1hcms="
TOKEN_LIFETIME_S = 86_400
# Descriptors a server needs beside its connections.
FILES_BESIDE = 500
RSS_RATIO, CPU_RATIO = 1.7, 1.5


@dataclass(frozen=True)
class Served:
    """A server under test: its process, where it listens, and what each client says."""

    pid: int
    port: int
    ca: Path
    lines: Sequence[str]


async def run(options: Options) -> Report:
    """Ours and mosquitto in turns; each time a new process to which everybody connects anew."""
    count = options.pick(CONNECTIONS, 100)
    _allow_files(count)
    # One hub makes the certificate that both show.
    keys = options.work / "keys"

    async def ours() -> Sample:
        async with _hub(keys, count) as served:
            return await _measure(served)

    async def theirs() -> Sample:
        async with mosquitto(options.work / "mosquitto", keys / "for-mosquitto") as server:
            lines = [f"d{number}\t\t\td/{number}" for number in range(count)]
            return await _measure(Served(server.pid, server.port, certificates.ca_file(keys), lines))

    sides = await interleaved({"hub": ours, "mosquitto": theirs}, options.rounds)
    hub, peer = sides["hub"], sides["mosquitto"]
    rows = [
        Row(f"RSS with {count} TLS connections", "MB", hub, peer, "<=", RSS_RATIO),
        _row("CPU per connection: handshake and CONNECT", "ms", hub, peer, "<=", CPU_RATIO),
        _row("a QoS 1 message from each at once, ours durable", "messages/s", hub, peer, ">=", None),
        _row("CPU per message, ours durable", "ms", hub, peer, "<=", None),
    ]
    per_connection = (hub.value - hub.seen["RSS before"]) * 1000 / count
    notes = [
        f"{AT_ONCE} handshakes at once; RSS per connection {per_connection:.0f} KB; all connected after"
        f" {hub.seen['seconds']:.1f} s (mosquitto: {peer.seen['seconds']:.1f} s), the clients beside it",
        "mosquitto knows nobody: it checks no token and stores nothing",
    ]
    return Report("hub_connections", rows, notes)


def _row(what: str, unit: str, ours: Side, other: Side, sense: Sense, target: float | None) -> Row:
    left, right = (Side(side.name, [side.seen[what]] * len(side.values)) for side in (ours, other))
    return Row(what, unit, left, right, sense, target)


async def _measure(served: Served) -> Sample:
    """Everybody connects, then everybody sends one message."""
    before_mb, before_s = rss_mb(served.pid), cpu_seconds(served.pid)
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load.holder"),
        *(str(served.port), "localhost", str(served.ca), str(AT_ONCE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    try:
        holder.stdin.write(("\n".join(served.lines) + "\n\n").encode())
        connected = await _answer(holder)
        connected_s = cpu_seconds(served.pid) - before_s
        held_mb = rss_mb(served.pid)
        began = cpu_seconds(served.pid)
        holder.stdin.write(f"publish {MESSAGE_BYTES}\n".encode())
        sent = await _answer(holder)
        sent_s = cpu_seconds(served.pid) - began
    finally:
        await end(holder)
    count = len(served.lines)
    assert connected["connected"] == sent["acknowledged"] == count
    seen = {
        "RSS before": before_mb,
        "seconds": connected["seconds"],
        "CPU per connection: handshake and CONNECT": connected_s * 1000 / count,
        "a QoS 1 message from each at once, ours durable": count / sent["seconds"],
        "CPU per message, ours durable": sent_s * 1000 / count,
    }
    return Sample(held_mb, seen)


async def _answer(holder: asyncio.subprocess.Process) -> dict[str, Any]:
    assert holder.stdout is not None
    line = await holder.stdout.readline()
    if not line:
        raise RuntimeError("the clients ended; what they said is above")
    found: dict[str, Any] = json.loads(line)
    return found


@asynccontextmanager
async def _hub(folder: Path, count: int) -> AsyncIterator[Served]:
    """The hub as a process, with ``count`` devices; its folder is kept, so that they are made once."""
    https, mqtt = free_port(), free_port()
    ports = ("--https-port", str(https), "--mqtt-port", str(mqtt), "--log-level", "warning")
    os.makedirs(folder, exist_ok=True)
    process = Process("the hub", ["hub", "up", "--dir", str(folder), *ports], folder / "log", SystemClock())
    await process.start()
    try:
        await process.until(lambda: answers(mqtt))
        marker = folder / f"{count}-devices"
        if not await asyncio.to_thread(marker.exists):
            await _create_devices(folder, https, count)
            await asyncio.to_thread(_keep, folder, marker)
        lines = [_line(number) for number in range(count)]
        yield Served(process.pid, mqtt, certificates.ca_file(folder), lines)
    finally:
        await process.stop()


async def _create_devices(folder: Path, port: int, count: int) -> None:
    owner = ConnectionString.parse(connection_string(folder, "iothubowner"))
    assert owner.shared_access_key is not None
    expiry = int(SystemClock().now().timestamp()) + TOKEN_LIFETIME_S
    token = make_token("localhost", key_signer(owner.shared_access_key), expiry, "iothubowner")
    key = {"primaryKey": KEY, "secondaryKey": KEY}
    async with httpx.AsyncClient(
        base_url=f"https://localhost:{port}",
        verify=client_context(certificates.ca_file(folder).read_text()),
        headers={"Authorization": token},
        timeout=60,
    ) as client:
        for first in range(0, count, BULK):
            entries = [
                {"id": f"d{number}", "importMode": "create", "authentication": {"symmetricKey": key}}
                for number in range(first, min(first + BULK, count))
            ]
            answer = await client.post("/devices", params={"api-version": "2021-04-12"}, json=entries)
            answer.raise_for_status()


def _keep(folder: Path, marker: Path) -> None:
    """Note that the devices are there; the hub's certificate under the names that mosquitto is told."""
    files, place = certificates.server_files(folder), folder / "for-mosquitto"
    place.mkdir(exist_ok=True)
    shutil.copy(files.certificate, place / "server.pem")
    shutil.copy(files.key, place / "server.key")
    marker.touch()


def _line(number: int) -> str:
    device = f"d{number}"
    expiry = int(SystemClock().now().timestamp()) + TOKEN_LIFETIME_S
    token = make_token(f"localhost/devices/{device}", key_signer(KEY), expiry)
    user = f"localhost/{device}/?api-version=2021-04-12"
    return f"{device}\t{user}\t{token}\tdevices/{device}/messages/events/"


def _allow_files(count: int) -> None:
    """Servers and clients inherit it. ValueError where the machine allows fewer."""
    wanted = count + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
