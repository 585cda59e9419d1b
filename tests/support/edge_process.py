"""The edge runtime as a process of its own, over the engine in memory: ``python -m … DATA_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from skerry.clock import SystemClock
from skerry.edge.daemon.provisioning import read_settings
from skerry.edge.main import EdgeAddresses, run
from skerry.service.loop import serve_until_signal
from tests.support.engine import MemoryEngine


def ready(addresses: EdgeAddresses) -> None:
    sys.stdout.write(f"{addresses.mqtt_port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    settings = read_settings(Path(sys.argv[1]))
    serve_until_signal(lambda stop: run(settings, stop, ready, engine=MemoryEngine(SystemClock())))
