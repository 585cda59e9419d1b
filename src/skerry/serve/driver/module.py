"""A user's script behind messages, as Azure ML's images have it: body in, ``/score``, body out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import SkerryError
from skerry.protocol.claims import ClaimStore, is_claim, redeemed
from skerry.protocol.client import DeviceClient
from skerry.serve.http.message import Request, Response
from skerry.serve.inputs import DRAIN_S, Inputs, Outgoing
from skerry.serve.module_messages import error_message, reply

log = logging.getLogger(__name__)

# What Azure ML's image posts a message's body as when the sender did not say.
CONTENT_TYPE_DEFAULT = "application/json"


class DriverModule:
    """The script's link to the edge hub; inputs are answered in order, each once its output is accepted."""

    def __init__(
        self,
        client: DeviceClient,
        run: Callable[[Request], Awaitable[Response]],
        *,
        name: str,
        claims: ClaimStore | None = None,
        drain_s: float = DRAIN_S,
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._client = client
        self._run = run
        self._name = name
        self._claims = claims
        # One at a time: scripts expect a single worker, and the rest waits in the edge hub.
        self._inputs = Inputs(client, self._answer, drain_s=drain_s, inputs_max=1)

    async def start(self) -> None:
        """Begin to connect, for ever; returns at once."""
        self._client.on_input = self._inputs.on_input
        self._client.on_method = self.on_method
        await self._client.start()

    async def close(self) -> None:
        """Answer the input at hand, if that goes quickly, and leave."""
        await self._inputs.close()
        await self._client.stop()

    async def on_method(self, request: MethodRequest) -> MethodResponse:
        """``status``."""
        if request.name.lower() == "status":
            return MethodResponse(200, self.status())
        return MethodResponse(404, {"message": f"no method {request.name}; a user's script has status"})

    def status(self) -> Mapping[str, Any]:
        """What runs and what it has done."""
        return {"driver": self._name, "answered": self.answered, "failed": self.failed}

    async def _answer(self, message: Message) -> Outgoing:
        try:
            whole = message
            if is_claim(message):
                whole = await asyncio.get_running_loop().run_in_executor(
                    None, redeemed, message, self._claims
                )
        except SkerryError as exc:
            self.failed += 1
            refusal = error_message(message, exc)
            return lambda: refusal
        kind = whole.system.get("contentType") or CONTENT_TYPE_DEFAULT
        headers = {"content-type": kind, "content-length": str(len(whole.body))}
        response = await self._run(Request("POST", "/score", headers=headers, body=whole.body))
        well = response.status < 400
        self.answered += well
        self.failed += not well
        answer = reply(message, response.body, "OK" if well else "Error", response.content_type)
        return lambda: answer
