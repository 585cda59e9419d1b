"""Docker's HEALTHCHECK of the CNN module: ``python -m skerry.serve.healthcheck`` exits 0 while it answers."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

# Docker's own time-out is 30 s; a module that needs seconds for a constant answer is not healthy.
TIMEOUT_S = 3.0


def healthy(environ: Mapping[str, str]) -> bool:
    """Whether the module configured by ``environ`` answers ``GET /healthz`` with 200."""
    host = environ.get("SKERRY_HTTP_HOST", "0.0.0.0")  # the address it listens on
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        port = int(environ.get("SKERRY_HTTP_PORT", "5001"))
        connection = http.client.HTTPConnection(asked, port, timeout=TIMEOUT_S)
    except (ValueError, http.client.InvalidURL):
        return False
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(os.environ) else 1)
