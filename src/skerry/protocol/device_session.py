"""A connected device or module, seen from the hub: what can be sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from skerry.clock import Clock
from skerry.contract.json_text import compact, parse_json
from skerry.contract.message import Message, encode_bag
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.contract.topics import (
    c2d_filter,
    c2d_topic,
    desired_patch_topic,
    input_topic,
    inputs_filter,
    method_call_topic,
)
from skerry.errors import InvalidInput, Unavailable
from skerry.mqtt.filters import matches
from skerry.mqtt.link import Link
from skerry.mqtt.outcome import Outcome
from skerry.mqtt.packets import SUBSCRIPTION_REFUSED

from .waiting import within

Kind = Literal["methods", "inputs", "desired", "c2d"]

# The topics an identity may listen to, by kind; "twin" are the answers to its twin requests.
_FAMILIES: Mapping[str, str] = {
    "methods": "$iothub/methods/POST/",
    "twin": "$iothub/twin/res/",
    "desired": "$iothub/twin/PATCH/properties/desired/",
}
# Five are usual (contract.md §2.7); the bound is against a client that invents input filters for ever.
FILTERS_MAX = 64
# A method waits here for its answer; each holds one caller.
METHODS_WAITING_MAX = 100


class DeviceSession:
    """One link of an identity, from its CONNACK to its end.

    ``on_subscriptions`` is called after each change of what the identity listens to. Sends raise Unavailable
    when it does not listen, or when the link ends before the PUBACK: keep the message for the next session.
    """

    def __init__(
        self, identity: Identity, link: Link, clock: Clock, filters: Mapping[str, int], *, persistent: bool
    ) -> None:
        self.identity = identity
        self.persistent = persistent
        self.on_subscriptions: Callable[[DeviceSession], None] | None = None
        self.saving = asyncio.Lock()
        self._link = link
        self._clock = clock
        self._families = dict(_FAMILIES)
        if identity.module is None:
            self._families["c2d"] = c2d_filter(identity.device).removesuffix("#")
        else:
            self._families["inputs"] = inputs_filter(identity).removesuffix("#")
        self._filters = dict(filters)
        self._granted: dict[str, int] = {}
        # As many as the routes name.
        self._input_topics: dict[str, bytes] = {}
        self._judge()
        self._calls: dict[str, asyncio.Future[MethodResponse]] = {}
        self._last_call = 0

    def __repr__(self) -> str:
        return f"DeviceSession({self.identity.client_id})"

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    @property
    def in_flight(self) -> int:
        """Messages sent to the identity that it has not acknowledged yet."""
        return self._link.in_flight

    @property
    def filters(self) -> Mapping[str, int]:
        """What it subscribed to, with the granted QoS."""
        return self._filters

    def subscribed_to(self, kind: Kind | Literal["twin"]) -> bool:
        """Whether the identity listens to this kind of message."""
        return kind in self._granted

    async def send_c2d(self, message: Message, *, dup: bool = False) -> None:
        """Return once the device has acknowledged a cloud-to-device message."""
        qos = self._listening("c2d")
        if "to" not in message.system:
            message = message.with_system(to=f"{self.identity.path}/messages/devicebound")
        await self._link.publish(c2d_topic(self.identity.device, encode_bag(message)), message.body, qos, dup)

    async def send_input(self, input: str, message: Message, *, dup: bool = False) -> None:
        """Return once the module has acknowledged a message to its ``input``."""
        await self.forward_input(input, encode_bag(message).encode(), message.body, dup=dup)

    def forward_input(self, input: str, bag: bytes, body: bytes, *, dup: bool = False) -> Outcome:
        """``send_input`` for properties that are encoded already; settled when the module acknowledged."""
        qos = self._granted.get("inputs")
        if qos is None:
            qos = self._listening("inputs")
        if (root := self._input_topics.get(input)) is None:
            root = self._input_topics[input] = input_topic(self.identity, input, "").encode()
        return self._link.publish(root + bag, body, qos, dup)

    async def send_desired(self, patch: Mapping[str, Any], version: int) -> None:
        """Tell of new desired properties, if it listens; ``$version`` is put into the patch.

        QoS 0 as the real hub: a client that missed one finds out by the version when it asks for its twin.
        """
        if self.subscribed_to("desired"):
            body = compact({**patch, "$version": version}).encode()
            await self._link.publish(desired_patch_topic(version), body)

    async def invoke(self, request: MethodRequest) -> MethodResponse:
        """The identity's answer; TimedOut after the response timeout, Unavailable if it cannot be asked."""
        self._listening("methods")
        if len(self._calls) >= METHODS_WAITING_MAX:
            raise Unavailable("too many methods wait for an answer", identity=self.identity.client_id)
        self._last_call += 1
        rid = f"{self._last_call:x}"
        answer: asyncio.Future[MethodResponse] = asyncio.get_running_loop().create_future()
        self._calls[rid] = answer
        try:
            await self._link.publish(method_call_topic(request.name, rid), compact(request.payload).encode())
            what = f"{self.identity.client_id} did not answer {request.name!r}"
            return await within(answer, request.response_timeout_s, self._clock, what)
        finally:
            self._calls.pop(rid, None)

    def close(self, reason: str) -> None:
        """End the link; the backend hears ``detached`` before this returns."""
        self._link.close(reason)

    # For the head.

    def answered(self, rid: str, status: int, body: bytes) -> None:
        """The identity answered a method; an answer nobody waits for (any more) is dropped."""
        answer = self._calls.pop(rid.lower(), None)
        if answer is not None and not answer.done():
            answer.set_result(MethodResponse(status, _json_or_text(body)))

    def reply(self, topic: str, body: bytes) -> None:
        """Answer a twin request, if the identity listens to answers."""
        if self.subscribed_to("twin"):
            self._link.publish(topic, body)

    def subscribe(self, wishes: Sequence[tuple[str, int]]) -> list[int]:
        """Take up the filters that can concern this identity; the rest is refused."""
        codes = []
        for wanted, qos in wishes:
            fits = any(_concerns(wanted, family) for family in self._families.values())
            if not fits or (len(self._filters) >= FILTERS_MAX and wanted not in self._filters):
                codes.append(SUBSCRIPTION_REFUSED)
                continue
            self._filters[wanted] = min(qos, 1)  # contract.md §1.7: QoS 2 is granted as 1
            codes.append(min(qos, 1))
        self._judge()
        return codes

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Drop filters; unknown ones do not matter."""
        for wanted in filters:
            self._filters.pop(wanted, None)
        self._judge()

    def ended(self, reason: str) -> None:
        """The link is gone: who waits for a method's answer hears so."""
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(
                    Unavailable(f"{self.identity.client_id} left before it answered: {reason}")
                )
        self._calls.clear()

    def _listening(self, kind: Kind) -> int:
        qos = self._granted.get(kind)
        if qos is None:
            raise Unavailable(
                f"{self.identity.client_id} does not listen to {kind}",
                hint="its program has to set a handler first",
                identity=self.identity.client_id,
            )
        return qos

    def _judge(self) -> None:
        """Per kind the best QoS that any filter grants."""
        granted: dict[str, int] = {}
        for kind, family in self._families.items():
            for wanted, qos in self._filters.items():
                if _concerns(wanted, family):
                    granted[kind] = max(qos, granted.get(kind, 0))
        self._granted = granted


def _concerns(wanted: str, family: str) -> bool:
    """Whether a filter can match topics that start with ``family``."""
    return wanted.startswith(family) or matches(wanted, family + "x") or matches(wanted, family + "x/x")


def _json_or_text(body: bytes) -> Any:
    """Node's SDK answers with text when a program gives it text; Python's answers ``null`` for nothing."""
    if not body.strip():
        return None
    try:
        return parse_json(body)
    except InvalidInput:
        return body.decode("utf-8", "replace")
