"""Where frames go: posted to a predicting module, whose answers go on as ``output1``, or sent as messages."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from skerry.clock import Clock, iso
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.errors import InvalidInput, Throttled, Unavailable
from skerry.protocol.claims import ClaimStore, claim_message
from skerry.protocol.client import DeviceClient
from skerry.sim.capture.capture import Shot

log = logging.getLogger(__name__)

Json = Any

# The outputs' names of the tutorial: answers of the module asked over HTTP; frames as messages.
ANSWERS, FRAMES = "output1", "image"

# A prediction that takes longer is of no use to a camera.
ANSWER_S = 30.0

# An answer is a message, too.
ANSWER_BYTES_MAX = MESSAGE_BYTES_MAX - 4096

FRAME_BYTES_MAX = MESSAGE_BYTES_MAX - 4096

Watch = Callable[[bytes, Json], None]
"""Told each frame and what was answered."""


class Outlet:
    """Messages of this module, each with an id that no start of it gave before."""

    def __init__(self, client: DeviceClient, source: str, clock: Clock) -> None:
        self._client = client
        self._source = source
        self._clock = clock
        self._start = clock.now().strftime("%Y%m%dT%H%M%S%f")

    async def send(self, shot: Shot, body: bytes, content_type: str, output: str) -> None:
        """Return when the message is durably accepted. Raises Unavailable when the module stops."""
        await self._client.send(self.message(shot, body, content_type), output)

    async def send_frame(self, shot: Shot, claims: ClaimStore | None) -> None:
        """The frame itself, by claim check if it is too large. Raises InvalidInput without a store then."""
        data = shot.encoded.data
        message = self.message(shot, data, shot.encoded.content_type)
        if len(data) > FRAME_BYTES_MAX:
            if claims is None:
                raise InvalidInput(
                    f"{len(data)} bytes are too many for a message",
                    hint="set RESIZE_WIDTH and RESIZE_HEIGHT, or share SKERRY_CLAIMS_DIR with the receiver",
                )
            digest = await asyncio.get_running_loop().run_in_executor(None, claims.put, data)
            message = claim_message(message, digest)
        await self._client.send(message, FRAMES)

    def message(self, shot: Shot, body: bytes, content_type: str) -> Message:
        """One message about this frame."""
        properties = {"frame": shot.name, "sequence": str(shot.number), "source": self._source}
        system = {
            "messageId": f"{self._client.identity.client_id}/{self._start}/{shot.number}",
            "contentType": content_type,
            "creationTime": iso(self._clock.now()),
        }
        if content_type == "application/json":
            system["contentEncoding"] = "utf-8"
        return Message(body, properties, system)


class MessageDelivery:
    """Each frame as a message on ``image``; the predictions come from whom the route leads to."""

    def __init__(self, outlet: Outlet, claims: ClaimStore | None, watch: Watch | None = None) -> None:
        self._outlet = outlet
        self._claims = claims
        self._watch = watch

    async def __call__(self, shot: Shot) -> None:
        await self._outlet.send_frame(shot, self._claims)
        if self._watch is not None:
            self._watch(shot.encoded.data, {"label": f"frame {shot.number} sent"})


class HttpDelivery:
    """Each frame posted as the tutorial's capture module does; one kept connection, one at a time."""

    def __init__(
        self,
        endpoint: str,
        params: Mapping[str, str],
        source: str,
        *,
        outlet: Outlet | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._parts = urlsplit(endpoint)
        query = "&".join(filter(None, (self._parts.query, urlencode(params))))
        self._target = (self._parts.path or "/") + (f"?{query}" if query else "")
        self._source = source
        self._outlet = outlet
        self._watch = watch
        self._thread = ThreadPoolExecutor(1, "post")
        self._connection: http.client.HTTPConnection | None = None

    async def __call__(self, shot: Shot) -> None:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, self._post, shot)
        document = parsed(answer)
        # "[]" is how the tutorial's modules say that there is nothing to say.
        if self._outlet is not None and document not in (None, []):
            await self._outlet.send(shot, answer, "application/json", ANSWERS)
        if self._watch is not None:
            self._watch(shot.encoded.data, shown(document))

    async def close(self) -> None:
        """End the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._hang_up)
        self._thread.shutdown()

    def _post(self, shot: Shot) -> bytes:
        try:
            kept = self._connection is not None
            try:
                return self._exchange(shot)
            except (ConnectionError, http.client.BadStatusLine):
                if not kept:
                    raise
                # A module closes a connection that was quiet for long; that is no failure.
                self._hang_up()
                return self._exchange(shot)
        except (OSError, http.client.HTTPException) as exc:
            self._hang_up()
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            raise Unavailable(
                f"{self._parts.hostname}:{self._parts.port or ''} does not answer: {reason}"
            ) from exc

    def _exchange(self, shot: Shot) -> bytes:
        headers = {"Content-Type": "application/octet-stream", "X-Skerry-Source": self._source}
        credentials = _credentials(self._parts)
        if credentials:
            headers["Authorization"] = credentials
        if self._connection is None:
            self._connection = _connection(self._parts)
        self._connection.request("POST", self._target, shot.encoded.data, headers)
        response = self._connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX + 1)
        if len(body) > ANSWER_BYTES_MAX:
            self._hang_up()
            raise InvalidInput(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if response.status in (429, 503):
            raise Throttled(f"the module is busy ({response.status})")
        if response.status >= 500:
            raise Unavailable(f"the module failed ({response.status})")
        if response.status not in (200, 204):
            text = body[:200].decode(errors="replace")
            raise InvalidInput(f"the module refuses the frame ({response.status}): {text}")
        return body

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def parsed(answer: bytes) -> Json:
    """The answer's JSON; None for none. Raises InvalidInput."""
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("the module's answer is not JSON") from exc


def shown(document: Json) -> dict[str, Json]:
    """An answer of ours, or of a Custom Vision module, as the live page shows predictions."""
    found = document if isinstance(document, dict) else {}
    given = found.get("predictions")
    predictions = [
        {"label": each.get("label", each.get("tagName")), "score": each.get("score", each.get("probability"))}
        for each in (given if isinstance(given, list) else [])
        if isinstance(each, dict)
    ]
    best = predictions[0]["label"] if predictions else None
    return {**found, "label": found.get("label", best), "predictions": predictions}


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=ANSWER_S)
    return http.client.HTTPConnection(host, parts.port, timeout=ANSWER_S)


def _credentials(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    return "Basic " + base64.b64encode(f"{parts.username}:{parts.password or ''}".encode()).decode()
