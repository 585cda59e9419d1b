"""Every engine, opened again and again over the same state."""

import json
import os
import resource
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.edge.engine.choose import find_bubblewrap
from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Engine
from skerry.edge.engine.process import ProcessEngine
from skerry.edge.engine.registries import Registries
from tests.support.engines import IMAGE, SCRIPT, Open
from tests.support.shell_image import write_shell_image

LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
LIMIT = 4096


def _allowed(kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return LIMIT if hard == resource.RLIM_INFINITY else min(LIMIT, hard)


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Podman service of this test run."""
    folder = tmp_path_factory.mktemp("podman")
    # Podman asks for the kernel's largest limits, which not every machine's root may give.
    limits = [f"{name}={_allowed(kind)}:{_allowed(kind)}" for name, kind in LIMITS.items()]
    (folder / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    socket = folder / "podman.sock"
    service = subprocess.Popen(
        ["podman", "system", "service", "--time=0", f"unix://{socket}"],
        env={**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):  # 20 s
            if socket.is_socket():
                break
            assert service.poll() is None, "Podman's service ended"
            threading.Event().wait(0.1)
        yield f"unix://{socket}"
    finally:
        service.terminate()
        service.wait(10)


@pytest.fixture
def registries() -> Registries | None:
    """Where engines pull from; nowhere, unless a test says otherwise."""
    return None


@pytest.fixture(params=["docker", "podman", "bubblewrap", "plain"])
async def open_engine(
    request: pytest.FixtureRequest, tmp_path: Path, registries: Registries | None
) -> AsyncIterator[Open]:
    """Opens the engine again and again over the same state, as a restarted agent does."""
    pulled = tmp_path / "state" / "pulled"
    images, device = tmp_path / "images", f"test-{uuid.uuid4().hex[:8]}"
    write_shell_image(images, IMAGE, script=SCRIPT)
    opened: list[Engine] = []

    async def open_one() -> Engine:
        engine: Engine
        if request.param == "docker":
            engine = await DockerEngine.connect(
                device=device,
                images_dir=images,
                prefix=f"{device}-",
                registries=registries,
                pulled=pulled,
            )
        elif request.param == "podman":
            url = request.getfixturevalue("podman")
            engine = await DockerEngine.connect(
                device=device,
                images_dir=images,
                prefix=f"{device}-",
                url=url,
                registries=registries,
                pulled=pulled,
            )
        else:
            bwrap = await find_bubblewrap() if request.param == "bubblewrap" else None
            assert (bwrap is not None) == (request.param == "bubblewrap"), "bubblewrap does not work here"
            engine = ProcessEngine(
                state_dir=tmp_path / "state",
                images_dir=images,
                bwrap=bwrap,
                clock=SystemClock(),
                registries=registries,
            )
        opened.append(engine)
        return engine

    yield open_one
    engine = await open_one()
    for module in await engine.observe():
        await engine.remove(module.name)
    for one in opened:
        await one.close()
