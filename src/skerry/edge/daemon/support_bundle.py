"""One archive with what somebody far away needs to help: state, reasons, logs; never a secret."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from skerry import __version__
from skerry.clock import Clock, iso
from skerry.edge.daemon.recent_log import RecentLog
from skerry.edge.engine.port import Engine
from skerry.edge.settings import CONFIG_FILE, EdgeSettings
from skerry.errors import SkerryError
from skerry.service.log import redact

# Per module: the end of a log is what matters, and the archive has to go over the link.
LOG_LINES_MAX = 20_000


class Modules(Protocol):
    """What the bundle asks of the agent."""

    @property
    def engine(self) -> Engine:
        """Where their logs are."""

    def modules(self) -> dict[str, dict[str, Any]]:
        """The modules as reported, by name."""

    async def why(self, module: str) -> dict[str, Any]:
        """Why a module is as it is."""


class SupportBundle:
    """Made on request, in memory: logs are bounded, everything else is small."""

    def __init__(
        self,
        agent: Modules,
        *,
        status: Callable[[], Mapping[str, Any]],
        settings: EdgeSettings,
        recent: RecentLog,
        clock: Clock,
    ) -> None:
        self._agent = agent
        self._status = status
        self._settings = settings
        self._recent = recent
        self._clock = clock

    async def build(self, since: float | None, until: float | None, runtime_only: bool) -> bytes:
        """The zip archive; times in unix seconds."""
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            async for name, text in self._files(since, until, runtime_only):
                archive.writestr(name, redact(text))
        return data.getvalue()

    async def _files(
        self, since: float | None, until: float | None, runtime_only: bool
    ) -> AsyncIterator[tuple[str, str]]:
        made = {"version": __version__, "made": iso(self._clock.now()), "engine": self._agent.engine.name}
        yield "bundle.json", _json(made)
        yield "status.json", _json(self._status())
        yield "modules.json", _json(self._agent.modules())
        yield "runtime.log", self._recent.text(since, until)
        config = self._settings.data_dir / CONFIG_FILE
        if config.exists():
            yield CONFIG_FILE, config.read_text()
        for module in () if runtime_only else sorted(self._agent.modules()):
            yield f"modules/{module}/why.json", _json(await self._agent.why(module))
            yield f"modules/{module}/log", await self._log(module, since, until)

    async def _log(self, module: str, since: float | None, until: float | None) -> str:
        try:
            lines = self._agent.engine.logs(module, tail=LOG_LINES_MAX, since=since, until=until)
            return "".join([line.decode(errors="replace") + "\n" async for line in lines])
        except SkerryError as error:
            return f"no log: {error}\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"
