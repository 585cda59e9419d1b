"""Runs the MQTT load generator: the C program when there is a compiler, else the slower one in Python."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("generator.c")
# A run that takes longer hangs.
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Client:
    """One connection: it publishes to ``topic`` and subscribes to ``filter``, where they are given."""

    id: str
    username: str = ""
    password: str = ""
    topic: str = ""
    filter: str = ""


@dataclass(frozen=True)
class Load:
    """``messages`` of ``size`` bytes, ``window`` under way per publisher; ``warm_up`` more go first."""

    clients: Sequence[Client]
    messages: int
    window: int
    warm_up: int
    size: int = 256


@dataclass(frozen=True)
class Outcome:
    """What a load took. A generator near 100 % CPU measured itself."""

    messages: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def seen(self) -> dict[str, float]:
        return {
            "server µs/msg": self.server_cpu_seconds / self.messages * 1e6,
            "server CPU %": self.server_cpu_seconds / self.seconds * 100,
            "generator CPU %": self.cpu_seconds / self.seconds * 100,
        }


class Generator:
    """A built generator; ``name`` says which one."""

    def __init__(self, name: str, command: Sequence[str], *, tls: bool) -> None:
        self.name = name
        self.tls = tls
        self._command = tuple(command)

    @classmethod
    async def build(cls, work: Path) -> Generator:
        """The best this machine can have."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        binary = work / "generator"
        if compiler is not None:
            for tls in (("-DWITH_TLS", "-lssl", "-lcrypto"), ()):
                flags = [flag for flag in tls if flag.startswith("-D")]
                libraries = [flag for flag in tls if flag.startswith("-l")]
                command = [compiler, "-O2", *flags, "-o", str(binary), str(SOURCE), *libraries]
                if await _succeeds(command):
                    return cls("C", [str(binary)], tls=bool(tls))
        module = [sys.executable, "-m", "benchmarks.load.python_generator"]
        return cls("Python: it saturates before a server does", module, tls=False)

    async def run(
        self, port: int, server: int, load: Load, work: Path, ca_file: Path | None = None
    ) -> Outcome:
        """Put ``load`` on the server of process ``server``. RuntimeError with what the generator says."""
        clients = work / "clients.tsv"
        clients.write_text(
            "".join("\t".join((c.id, c.username, c.password, c.topic, c.filter)) + "\n" for c in load.clients)
        )
        numbers = (load.warm_up, load.messages, load.window, load.size, server)
        trust = [] if ca_file is None else [str(ca_file)]
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *(str(port), str(clients), *map(str, numbers), *trust),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(err.decode().strip())
        return Outcome(**json.loads(out))


async def _succeeds(command: Sequence[str]) -> bool:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0
