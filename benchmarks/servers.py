"""The MQTT servers that a benchmark compares, each as a process of its own on a free loopback port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import ticks

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/sbin")
READY_S = 10.0
POLL_S = 0.02


@dataclass(frozen=True)
class Server:
    """A running one."""

    pid: int
    port: int


@asynccontextmanager
async def edge_hub(durability: str, folder: Path, certificates: Path | None = None) -> AsyncIterator[Server]:
    """Ours, ``durable`` or ``memory`` (see ``edge_hub_server``)."""
    os.makedirs(folder)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.edge_hub_server", durability),
        *(str(folder), str(certificates or "-")),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError("our edge hub did not start")
        yield Server(process.pid, int(line))
    finally:
        await end(process)
        shutil.rmtree(folder)


@asynccontextmanager
async def mosquitto(folder: Path, certificates: Path | None = None) -> AsyncIterator[Server]:
    """The peer: nothing on disk, no limits in the way, Nagle off; everybody may connect."""
    assert MOSQUITTO is not None
    os.makedirs(folder)
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "log_dest none",
        "max_queued_messages 0",
        "max_inflight_messages 1000",
        "set_tcp_nodelay true",
    ]
    if certificates is not None:
        names = {"certfile": "server.pem", "keyfile": "server.key"}
        lines += [f"{option} {certificates / name}" for option, name in names.items()]
        # It would become a user who may not read our key.
        lines += ["user root"] if os.getuid() == 0 else []
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    process = await asyncio.create_subprocess_exec(MOSQUITTO, "-c", str(config))
    try:
        async with asyncio.timeout(READY_S):
            async for _ in ticks(POLL_S):
                if await answers(port):
                    break
        yield Server(process.pid, port)
    finally:
        await end(process)
        shutil.rmtree(folder)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end and wait for it."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await process.wait()


async def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
