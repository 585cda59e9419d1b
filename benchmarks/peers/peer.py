"""One peer: what is installed for it, and how it is started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.http import answered
from benchmarks.peers.handle import VARIABLE
from benchmarks.process import ticks
from benchmarks.servers import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The engine is the one that ours runs on.
EVERYWHERE = ("onnxruntime==1.23.2", "numpy", "pillow")
INSTALL_S = 600.0
READY_S = 60.0


class NotInstalledError(Exception):
    """Why a peer cannot take part."""


@dataclass(frozen=True)
class Peer:
    """``command``: its arguments after the environment's ``bin`` folder, for a port and so many workers."""

    name: str
    packages: Sequence[str]
    command: Callable[[int, int], Sequence[str]]
    variables: Callable[[int, int], Mapping[str, str]] = field(default=lambda port, workers: {})
    base64: bool = False
    files: Callable[[Path, int, int], None] = field(default=lambda work, port, workers: None)

    async def install(self, cache: Path) -> Path:
        """Its environment, made unless it is there; NotInstalledError with what pip says."""
        place = cache / "peers" / self.name
        wanted = "\n".join((*self.packages, *EVERYWHERE))
        marker = place / "installed"
        if marker.exists() and marker.read_text() == wanted:
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        for command in (
            (sys.executable, "-m", "venv", "--clear", str(place)),
            (str(place / "bin" / "pip"), "install", "-q", "--no-input", *self.packages, *EVERYWHERE),
        ):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            try:
                async with asyncio.timeout(INSTALL_S):
                    said = (await process.communicate())[1].decode().strip()
            except TimeoutError:
                process.kill()
                await process.wait()
                raise NotInstalledError(f"not installed within {INSTALL_S:.0f} s") from None
            if process.returncode != 0:
                raise NotInstalledError(said.splitlines()[-1] if said else f"pip ended {process.returncode}")
        marker.write_text(wanted)
        return place

    @asynccontextmanager
    async def serving(
        self,
        place: Path,
        work: Path,
        job: Mapping[str, object],
        workers: int,
        body: bytes,
        headers: Mapping[str, str],
    ) -> AsyncIterator[int]:
        """The port it answers ``body`` at; the whole process group ends afterwards."""
        port = free_port()
        _prepare(work, job)
        self.files(work, port, workers)
        program, *arguments = self.command(port, workers)
        said = (work / "log").open("wb")
        process = await asyncio.create_subprocess_exec(
            *(str(place / "bin" / program), *arguments),
            cwd=work,
            env={
                **os.environ,
                "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                VARIABLE: str(work / "job.json"),
                "PEER_WORKERS": str(workers),
                "BENTOML_DO_NOT_TRACK": "True",
                **self.variables(port, workers),
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(READY_S):
                async for _ in ticks(0.1):
                    if process.returncode is not None:
                        raise NotInstalledError(f"ended with {process.returncode}: {_last(work / 'log')}")
                    if await answered(port, body, headers):
                        break
            yield port
        finally:
            said.close()
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Its workers too: some leave them behind."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            continue
    await process.wait()


def _prepare(work: Path, job: Mapping[str, object]) -> None:
    work.mkdir(exist_ok=True)
    (work / "job.json").write_text(json.dumps(job))


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
