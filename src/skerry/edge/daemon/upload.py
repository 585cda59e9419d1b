"""Puts a file to a URL that somebody gave us: a blob's SAS URL, an S3 pre-signed one, any web server."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from skerry.errors import NotAllowed, SkerryError, Unavailable

# Logs of a day over a slow link.
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 30.0


async def put(url: str, data: bytes, content_type: str) -> None:
    """One PUT. NotAllowed (refused), Unavailable. Errors name the host only: a URL may be signed."""
    host = urlsplit(url).hostname or "the server"
    headers = {
        "Content-Type": content_type,
        # Azure's blob store refuses a PUT without it; others do not mind.
        "x-ms-blob-type": "BlockBlob",
    }
    timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        async with httpx.AsyncClient(timeout=timeout) as client:
            answer = await client.put(url, content=data, headers=headers)
    except httpx.HTTPError as error:
        raise Unavailable(f"cannot upload to {host}: {type(error).__name__}", host=host) from error
    if not answer.is_success:
        kind: type[SkerryError] = NotAllowed if answer.status_code in (401, 403) else Unavailable
        raise kind(f"{host} refused the upload with status {answer.status_code}", host=host)
