"""Where a device connects, and how long it waits before it tries again."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """Where to connect; ``server_hostname`` is the name in the server's certificate if it is another."""

    connect_host: str
    port: int
    tls: ssl.SSLContext | None
    server_hostname: str | None = None


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt: doubling from first to max, a random half of it off."""

    first_s: float = 0.1
    max_s: float = 10.0

    def delay_s(self, attempt: int, roll: float) -> float:
        """Seconds before attempt number ``attempt`` (0: the first after a loss); ``roll`` in [0, 1)."""
        return min(self.max_s, self.first_s * 2.0 ** min(attempt, 30)) * (0.5 + roll / 2)
