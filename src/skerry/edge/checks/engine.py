"""Whether there is something that runs modules."""

from __future__ import annotations

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok, warning
from skerry.edge.engine.choose import choose_engine
from skerry.edge.engine.process import ProcessEngine
from skerry.errors import SkerryError


async def run(device: Device) -> Result:
    if device.settings is None:
        return NOT_PROVISIONED
    settings = device.settings
    try:
        found = await choose_engine(
            settings.engine,
            images_dir=settings.images,
            state_dir=settings.data_dir / "engine",
            network=settings.network,
        )
    except SkerryError as problem:
        return error(problem.what, problem.hint)
    try:
        if isinstance(found, ProcessEngine) and not found.isolated:
            return warning("modules run as processes without isolation", "install bubblewrap, or Docker")
        return ok(f"modules run on engine {found.name}")
    finally:
        await found.close()


CHECK = Check("engine", "runtime", "engine that runs modules", run)
