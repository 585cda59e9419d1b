"""Whether the device's files are whole, and how much waits in them."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok, warning


async def run(device: Device) -> Result:
    if device.settings is None:
        return NOT_PROVISIONED
    if device.status is not None and device.status.get("quarantined"):
        names = ", ".join(device.status["quarantined"])
        return warning(f"damaged files were put aside: {names}", "check the disk; keep them for support")
    for file in (device.settings.database_file, device.settings.queue_file):
        if file.exists() and (problem := await asyncio.to_thread(_problem, file)):
            return error(f"{file.name} is damaged: {problem}", "start the runtime: it puts the file aside")
    queues = (device.status or {}).get("queues", {})
    waiting = sum(queue["messages"] for queue in queues.values())
    return ok(f"the files are whole; {waiting} messages wait")


def _problem(file: Path) -> str:
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as problem:
        return str(problem)
    return "" if found == "ok" else str(found)


CHECK = Check("store", "runtime", "files of the device", run)
