"""wrk as a load: a fixed request, its rate and latencies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

TIMES = re.compile(r"LATENCY (\S+) (\S+) (\S+)")
# wrk's own table rounds; these are microseconds, and the errors.
DONE = """
done = function(summary, latency, requests)
  print("LATENCY", latency:percentile(50), latency:percentile(99), summary.requests / summary.duration * 1e6)
  print("ERRORS", summary.errors.status + summary.errors.read + summary.errors.timeout)
end
"""


def request_script(script: Path, path: str, body: bytes, headers: Mapping[str, str]) -> Path:
    """Write ``script``, which posts ``body`` (kept beside it)."""
    held = script.with_suffix(".body")
    held.write_bytes(body)
    lines = [f'local file = io.open("{held}", "rb")', 'wrk.method, wrk.body = "POST", file:read("*a")']
    lines.append(f'wrk.path = "{path}"')
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text("\n".join(lines) + "\n" + DONE)
    return script


async def load(
    wrk: str, script: Path, port: int, connections: int, seconds: int
) -> tuple[float, float, float]:
    """Milliseconds p50 and p99, requests a second. RuntimeError when any request failed."""
    process = await asyncio.create_subprocess_exec(
        *(wrk, "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "20s"),
        *("-s", str(script), f"http://127.0.0.1:{port}"),
        stdout=asyncio.subprocess.PIPE,
    )
    out = (await process.communicate())[0].decode().replace("\t", " ")
    found = TIMES.search(out)
    if found is None or not re.search(r"ERRORS 0\b", out) or float(found[3]) == 0:
        raise RuntimeError(out)
    p50, p99, rate = map(float, found.groups())
    return p50 / 1000, p99 / 1000, rate
