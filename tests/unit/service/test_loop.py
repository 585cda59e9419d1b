from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import asyncio, gc, sys
from skerry.service.loop import COLLECT_AFTER, serve_until_signal

async def main(stop):
    print(type(asyncio.get_running_loop()).__module__, gc.get_threshold()[0] == COLLECT_AFTER, flush=True)
    await stop.wait()
    print("ended", flush=True)

serve_until_signal(main)
"""


def test_a_process_serves_on_the_fast_loop_until_a_signal() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "uvloop True\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "ended\n"
        assert process.returncode == 0
