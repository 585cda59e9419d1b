"""Request bodies, read within a bound."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from skerry.contract.json_text import compact, parse_json
from skerry.errors import InvalidInput, TooLarge

# The largest legal request is a deployment manifest; 32 twins of 32 KiB fit.
BODY_BYTES_MAX = 1024 * 1024


async def read_body(request: Request) -> bytes:
    """The whole body; raises TooLarge as soon as it is known to be over the bound."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > BODY_BYTES_MAX:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises InvalidInput (with the position) or TooLarge."""
    document = parse_json(await read_body(request))
    if not isinstance(document, dict):
        raise InvalidInput("the body is not a JSON object", path="", value=type(document).__name__)
    try:
        compact(document).encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("the body holds text that is not Unicode", path="") from exc
    return document


def _too_large() -> TooLarge:
    return TooLarge(f"the body is over {BODY_BYTES_MAX} bytes", bytes_max=BODY_BYTES_MAX)
