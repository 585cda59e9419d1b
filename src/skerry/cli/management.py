"""Talks to the runtime on this machine over its management socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from skerry.edge.daemon.provisioning import read_settings
from skerry.errors import InvalidInput, NotFound, SkerryError, Unavailable

API_VERSION = "2022-08-03"
TIMEOUT_S = 30.0
_KINDS: dict[int, type[SkerryError]] = {400: InvalidInput, 404: NotFound}


@asynccontextmanager
async def management(data_dir: Path, timeout: float | None = TIMEOUT_S) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the runtime of ``data_dir``. Unavailable when it does not run."""
    socket = read_settings(data_dir).management_socket
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=timeout) as client:
            yield client
    except httpx.TransportError as exc:
        raise Unavailable(
            f"the runtime of {data_dir} does not answer", hint=f"start it: skerry edge run --dir {data_dir}"
        ) from exc


async def get(data_dir: Path, path: str, **query: str) -> httpx.Response:
    """A checked answer."""
    async with management(data_dir) as client:
        answer = await client.get(path, params={"api-version": API_VERSION, **query})
        await checked(answer)
        return answer


async def get_json(data_dir: Path, path: str) -> Any:
    """A checked answer's document."""
    return (await get(data_dir, path)).json()


async def checked(answer: httpx.Response) -> None:
    """Raise what the runtime says went wrong."""
    if answer.is_success:
        return
    await answer.aread()
    try:
        text = str(answer.json().get("message", answer.text))
    except ValueError:
        text = answer.text
    raise _KINDS.get(answer.status_code, Unavailable)(text)
