"""Which engine runs the modules of this device."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from skerry.clock import SystemClock
from skerry.edge.engine.docker import NETWORK, DockerEngine
from skerry.edge.engine.port import Engine
from skerry.edge.engine.process import ProcessEngine
from skerry.edge.engine.registries import Registries
from skerry.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 10.0


async def choose_engine(
    kind: str,
    *,
    images_dir: Path,
    state_dir: Path,
    device: str = "",
    prefix: str = "",
    network: str = NETWORK,
    runtime_fallback: bool = False,
    registries: Registries | None = None,
) -> Engine:
    """``docker``, ``process``, or ``auto``: Docker where an engine answers, else processes.

    ``prefix`` goes before container names; ``registries`` are where images come from that are not in
    ``images_dir``. ``Unavailable`` when ``docker`` was asked for and none answers.
    """
    if kind not in ("auto", "docker", "process"):
        raise InvalidInput(f"there is no engine {kind!r}", hint="use auto, docker or process", value=kind)
    if kind != "process":
        try:
            return await DockerEngine.connect(
                device=device,
                images_dir=images_dir,
                prefix=prefix,
                network=network,
                runtime_fallback=runtime_fallback,
                registries=registries,
                pulled=state_dir / "pulled",
            )
        except Unavailable as error:
            if kind == "docker":
                raise
            log.info("no Docker Engine, modules run as processes: %s", error.what)
    bwrap = await find_bubblewrap()
    return ProcessEngine(
        state_dir=state_dir, images_dir=images_dir, bwrap=bwrap, clock=SystemClock(), registries=registries
    )


async def find_bubblewrap() -> str | None:
    """Path of a bubblewrap that works here; not every kernel or container lets it make namespaces."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return None
    probe = [bwrap, "--unshare-all", "--share-net", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
    probe += ["--proc", "/proc", "--dev", "/dev", "--", "/bin/true"]
    child = await asyncio.create_subprocess_exec(
        *probe,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, text = await asyncio.wait_for(child.communicate(), PROBE_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await child.wait()
        return None
    if child.returncode != 0:
        log.warning("bubblewrap does not work here, modules are not isolated: %s", text.decode().strip())
        return None
    return bwrap
