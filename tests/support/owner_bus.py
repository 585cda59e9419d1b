"""``Owners`` over a bus between hub processes, in memory: everything that crosses it is bytes.

Subjects as on NATS: whoever holds an identity's connection listens at ``owner.<identity>``; a request there
without a listener fails at once (no responders), which is what "offline" means. Moves are told
to all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skerry.clock import Clock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import DeviceId, Identity
from skerry.errors import NotFound, SkerryError, TimedOut, Unavailable
from skerry.hub.connections import Connections
from skerry.hub.owners import Presence, offline

Answer = Callable[[bytes], Awaitable[bytes]]
Hear = Callable[[bytes], None]
MOVES = "moves"
KINDS: dict[str, type[SkerryError]] = {kind.__name__: kind for kind in (NotFound, TimedOut, Unavailable)}


class NoResponders(Exception):
    """Nobody listens at the subject."""


class Bus:
    """What several processes share; messages to one subject arrive in the order they were sent."""

    def __init__(self) -> None:
        self._answering: dict[str, Answer] = {}
        self._hearing: list[Hear] = []

    def answer(self, subject: str, answer: Answer) -> Answer | None:
        """Listen alone at a subject; who did before is given back."""
        before, self._answering[subject] = self._answering.get(subject), answer
        return before

    def leave(self, subject: str, answer: Answer) -> None:
        if self._answering.get(subject) is answer:
            del self._answering[subject]

    def has(self, subject: str) -> bool:
        return subject in self._answering

    def hear(self, hear: Hear) -> None:
        self._hearing.append(hear)

    def tell_all(self, message: bytes) -> None:
        for hear in self._hearing:
            hear(message)

    async def ask(self, subject: str, question: bytes) -> bytes:
        if (answer := self._answering.get(subject)) is None:
            raise NoResponders(subject)
        return await answer(question)


class BusOwners:
    """One process's view: its own ``connections`` serve the bus; every call goes out over it."""

    def __init__(self, bus: Bus, connections: Connections, clock: Clock) -> None:
        self._bus = bus
        self._connections = connections
        self._clock = clock
        self._presence: dict[Identity, Presence] = {}
        self._moved = asyncio.Event()
        self._answers: dict[Identity, Answer] = {}
        self._sending: set[asyncio.Task[None]] = set()
        connections.on_move = self._move
        bus.hear(self._hear)

    async def drain(self) -> None:
        while self._sending:
            await asyncio.wait(self._sending)

    async def invoke(self, identity: Identity, request: MethodRequest) -> MethodResponse:
        deadline = self._clock.monotonic() + request.connect_timeout_s
        while True:
            moved = self._moved
            left = max(deadline - self._clock.monotonic(), 0)
            asked = {**request.to_json(), "connectTimeoutInSeconds": left}
            try:
                return MethodResponse.parse(await self._ask(identity, "invoke", asked))
            except NoResponders as gone:
                if left == 0:
                    raise offline(identity) from gone
            try:
                await asyncio.wait_for(moved.wait(), left)
            except TimeoutError:
                continue

    async def tell_desired(self, identity: Identity, patch: Mapping[str, Any], version: int) -> None:
        with contextlib.suppress(NoResponders):
            await self._ask(identity, "desired", {"patch": patch, "version": version})

    def queued(self, device: DeviceId) -> None:
        self._send(Identity(device), "queued", None)

    def is_connected(self, identity: Identity) -> bool:
        presence = self._presence.get(identity)
        return presence is not None and presence.connected

    def connected_devices(self) -> int:
        return sum(one.connected and who.module is None for who, one in self._presence.items())

    def presence(self, identity: Identity) -> Presence | None:
        return self._presence.get(identity)

    def presences(self) -> dict[Identity, Presence]:
        return dict(self._presence)

    def close(self, identity: Identity, reason: str) -> None:
        self._send(identity, "close", reason)

    def forget(self, identity: Identity) -> None:
        async def forget() -> None:
            with contextlib.suppress(NoResponders):
                await self._ask(identity, "close", "identity deleted")
            # What is known goes last: the end of its connection is told as a move.
            self._bus.tell_all(json.dumps({"gone": identity.client_id}).encode())

        self._run(forget())

    # The end that holds the connection.

    def _move(self, identity: Identity, presence: Presence) -> None:
        subject = f"owner.{identity.client_id}"
        if presence.connected:

            async def answer(question: bytes) -> bytes:
                return await self._answer(identity, question)

            self._answers[identity] = answer
            older = self._bus.answer(subject, answer)
            if older is not None:
                self._run(older(_packed("close", "connected elsewhere")))
        else:
            self._bus.leave(subject, self._answers.pop(identity))
            if self._bus.has(subject):
                return
        said = [presence.connected, presence.updated, presence.last_activity]
        self._bus.tell_all(json.dumps({"id": identity.client_id, "presence": said}).encode())

    async def _answer(self, identity: Identity, question: bytes) -> bytes:
        asked = json.loads(question)
        try:
            return json.dumps({"answer": await self._do(identity, asked["what"], asked["with"])}).encode()
        except SkerryError as error:
            said = {"error": type(error).__name__, "text": error.what, "code": error.fields.get("code_name")}
            return json.dumps(said).encode()

    async def _do(self, identity: Identity, what: str, given: Any) -> Any:
        match what:
            case "invoke":
                return (await self._connections.invoke(identity, MethodRequest.parse(given))).to_json()
            case "desired":
                await self._connections.tell_desired(identity, given["patch"], given["version"])
            case "queued":
                self._connections.queued(identity.device)
            case "close":
                self._connections.close(identity, given)
        return None

    # The end that asks.

    async def _ask(self, identity: Identity, what: str, given: Any) -> Any:
        reply = json.loads(await self._bus.ask(f"owner.{identity.client_id}", _packed(what, given)))
        if "error" in reply:
            code = {"code_name": reply["code"]} if reply["code"] else {}
            raise KINDS[reply["error"]](reply["text"], **code)
        return reply["answer"]

    def _send(self, identity: Identity, what: str, given: Any) -> None:
        async def send() -> None:
            with contextlib.suppress(NoResponders):
                await self._ask(identity, what, given)

        self._run(send())

    def _run(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            await work

        task = asyncio.ensure_future(run())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _hear(self, message: bytes) -> None:
        said = json.loads(message)
        if "gone" in said:
            self._presence.pop(Identity.parse(said["gone"]), None)
            return
        self._presence[Identity.parse(said["id"])] = Presence(*said["presence"])
        self._moved.set()
        self._moved = asyncio.Event()


def _packed(what: str, given: Any) -> bytes:
    return json.dumps({"what": what, "with": given}).encode()
