"""Every engine, opened again and again over the same state."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.edge.engine.choose import find_bubblewrap
from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Engine
from skerry.edge.engine.process import ProcessEngine
from tests.support.engines import IMAGE, SCRIPT, Open
from tests.support.shell_image import write_shell_image


@pytest.fixture(params=["docker", "bubblewrap", "plain"])
async def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the engine again and again over the same state, as a restarted agent does."""
    images, device = tmp_path / "images", f"test-{uuid.uuid4().hex[:8]}"
    write_shell_image(images, IMAGE, script=SCRIPT)
    opened: list[Engine] = []

    async def open_one() -> Engine:
        engine: Engine
        if request.param == "docker":
            engine = await DockerEngine.connect(device=device, images_dir=images, prefix=f"{device}-")
        else:
            bwrap = await find_bubblewrap() if request.param == "bubblewrap" else None
            assert (bwrap is not None) == (request.param == "bubblewrap"), "bubblewrap does not work here"
            engine = ProcessEngine(
                state_dir=tmp_path / "state", images_dir=images, bwrap=bwrap, clock=SystemClock()
            )
        opened.append(engine)
        return engine

    yield open_one
    engine = await open_one()
    for module in await engine.observe():
        await engine.remove(module.name)
    for one in opened:
        await one.close()
