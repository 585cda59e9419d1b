from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.session import Registry
from skerry.service.tls import client_context
from tests.unit.hub.containers.client import policy_login
from tests.unit.hub.running import RunningHub, running_hub

Connect = Callable[..., Registry]


class Impatient(SystemClock):
    """Waits are over at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0 if seconds < 60 else seconds)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as running:
        yield running


@pytest.fixture
def connect(hub: RunningHub) -> Connect:
    """A client session with the hub's registry, as its owner."""

    def made(**changes: Any) -> Registry:
        given: dict[str, Any] = {
            "clock": Impatient(),
            "jitter": lambda: 0.5,
            "login": Login(*policy_login(hub, "iothubowner")),
            "tls": client_context(hub.ca_pem),
        }
        return Registry(f"localhost:{hub.addresses.https_port}", **{**given, **changes})

    return made
