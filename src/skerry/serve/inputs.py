"""Input messages: answered side by side, their outputs sent in the order the inputs came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from skerry.contract.message import Message
from skerry.errors import Unavailable
from skerry.protocol.client import DeviceClient
from skerry.serve.module_messages import OUTPUT

log = logging.getLogger(__name__)

# Enough to keep decoding and inference busy; the rest waits in the edge hub's durable queue.
INPUTS_MAX = 8

# Inputs being answered when the module is told to stop get this long.
DRAIN_S = 3.0

Outgoing: TypeAlias = Callable[[], Message | None]
"""Asked when it is the answer's turn: the message to send, or None when this answer stays here."""


class Inputs:
    """An input is acknowledged only once its output is durably accepted: a crash repeats work, loses none."""

    def __init__(
        self,
        client: DeviceClient,
        answer: Callable[[Message], Awaitable[Outgoing]],
        *,
        drain_s: float = DRAIN_S,
        inputs_max: int = INPUTS_MAX,
    ) -> None:
        self._client = client
        self._answer = answer
        self._drain_s = drain_s
        self._room = asyncio.Semaphore(inputs_max)
        self._last = asyncio.Event()
        self._last.set()
        self._under_way: set[asyncio.Event] = set()
        self._closing = False
        self._left = asyncio.Event()

    async def on_input(self, name: str, message: Message) -> None:
        """Answer one input message; returns once the answer is durably accepted, or stays here on purpose.

        Ends in CancelledError, which the client does not acknowledge, when the module leaves first.
        """
        if self._closing:
            await self._left.wait()
            raise asyncio.CancelledError
        log.debug("input %s: %d bytes", name, len(message.body))
        before, mine = self._last, asyncio.Event()
        done = asyncio.Event()
        self._last = mine
        self._under_way.add(done)
        try:
            async with self._room:
                outgoing = await self._answer(message)
            await before.wait()
            answer = outgoing()
            if answer is None:
                return
            # The task takes its place in the client's queue before the next input's may start.
            sending = asyncio.create_task(self._client.send(answer, OUTPUT))
            mine.set()
            await sending
        except Unavailable as exc:
            # Not an error of ours that sending the input again would repeat: only the next start can.
            raise asyncio.CancelledError("the module stopped before its answer was accepted") from exc
        finally:
            mine.set()
            done.set()
            self._under_way.discard(done)

    async def close(self) -> None:
        """Let the inputs at hand be answered, if that goes quickly; the others stay with the edge hub."""
        self._closing = True
        at_hand = [asyncio.ensure_future(done.wait()) for done in self._under_way]
        if at_hand:
            _, late = await asyncio.wait(at_hand, timeout=self._drain_s)
            for waiting in late:
                waiting.cancel()
        self._left.set()
