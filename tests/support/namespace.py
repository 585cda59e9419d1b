"""A private network for a test's processes: ports below 1024 and names of our own, also for an ordinary user.

Microsoft's SDKs insist on ports 8883 and 443 (contract.md §0). To work in it by hand:
``python -m tests.support.namespace COMMAND…``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

HUB_NAME, HUB_ADDRESS = "hub.skerry.test", "127.0.0.2"
GATEWAY_NAME, GATEWAY_ADDRESS = "gateway.skerry.test", "127.0.0.3"
HOSTS = f"127.0.0.1 localhost\n{HUB_ADDRESS} {HUB_NAME}\n{GATEWAY_ADDRESS} {GATEWAY_NAME}\n"

# What a machine may set to have its own roots trusted; the clients in here trust what the test gives them.
TRUST_VARIABLES = (
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_ENTER = 'ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@"'


def run(command: Sequence[str], *, timeout_s: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` with a loopback of its own, where HOSTS are known and no foreign root is trusted.

    Output and exit status are the command's. Raises FileNotFoundError where util-linux or iproute2 lack.
    """
    environment = clean(os.environ)
    for program in ("unshare", "mount", "ip"):
        if shutil.which(program, path=environment["PATH"]) is None:
            raise FileNotFoundError(f"{program} is not installed: apt install util-linux mount iproute2")
    with tempfile.TemporaryDirectory(prefix="skerry-net-") as scratch:
        hosts = Path(scratch) / "hosts"
        hosts.write_text(HOSTS)
        inside = ["unshare", "--net", "--mount", "--map-root-user", "--", "sh", "-c", _ENTER, str(hosts)]
        return subprocess.run([*inside, *command], env=environment, timeout=timeout_s, check=False)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without the machine's trust and proxies, with the system's own programs on the path."""
    kept = {
        name: value
        for name, value in environ.items()
        if name not in TRUST_VARIABLES and not name.lower().endswith("_proxy")
    }
    return {**kept, "PATH": f"{environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]).returncode)
