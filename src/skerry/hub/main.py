"""The hub's process: it serves until a signal."""

from __future__ import annotations

import os
from collections.abc import Callable

import uvloop

from skerry.hub.app import HubAddresses, run
from skerry.hub.settings import HubSettings
from skerry.service import log
from skerry.service.lifecycle import run_until_signal
from skerry.service.systemd import Notifier


def main(settings: HubSettings, ready: Callable[[HubAddresses], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is told the addresses. Raises as ``app.run``."""
    log.configure(settings.log_level, settings.log_json)
    notifier = Notifier(os.environ)

    def tell(addresses: HubAddresses) -> None:
        notifier.ready()
        ready(addresses)

    uvloop.run(run_until_signal(lambda stop: run(settings, stop, tell)))
