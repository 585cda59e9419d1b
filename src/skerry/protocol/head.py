"""The server's end of the IoT Hub dialect, for the hub's gateway as for a device's edge hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from skerry.clock import Clock
from skerry.contract.credentials import SasToken
from skerry.contract.json_text import compact, parse_json
from skerry.contract.message import MESSAGE_BYTES_MAX, Message, decode_bag
from skerry.contract.names import Identity
from skerry.contract.topics import (
    ConnectName,
    MethodReply,
    ReportedPatch,
    Telemetry,
    TwinGet,
    parse_client_topic,
    parse_username,
    twin_reply_topic,
)
from skerry.errors import (
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    SkerryError,
    Throttled,
    TimedOut,
    TooLarge,
    Unavailable,
)
from skerry.mqtt.link import Link
from skerry.mqtt.packets import NOT_AUTHORIZED, SERVER_UNAVAILABLE, ConnAck, Connect, Publish, Will

from .device_session import DeviceSession, Kind

__all__ = ["Backend", "DeviceSession", "Head", "Kind"]

log = logging.getLogger(__name__)

# A token's end is enforced this late: clients renew shortly before it, by clocks that are not ours.
TOKEN_GRACE_S = 60.0


class Backend(Protocol):
    """What stands behind the protocol: the hub's registry, or the edge hub's queue and cache."""

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        """NotAuthenticated or NotAllowed refuse for good (CONNACK 5), other errors for now (CONNACK 3)."""

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        """The filters that ``save_subscriptions`` was last given."""

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        """Keep all filters of an identity over restarts; the SUBACK follows."""

    def telemetry(self, sender: Identity, message: Message) -> Awaitable[None]:
        """Done when the message is durable; the PUBACK follows. Calls start in the order of arrival.

        An ``async def`` fits; returning a future instead saves a task per message.
        """

    async def twin(self, identity: Identity) -> dict[str, Any]:
        """The device's view of its twin."""

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        """Merge into the reported properties; their new version."""

    def attached(self, session: DeviceSession) -> None:
        """An identity connected; the session can be sent to at once."""

    def detached(self, session: DeviceSession) -> None:
        """The session ended; called before ``attached`` of the one that takes its place."""


class Head:
    """An MQTT handler that speaks IoT Hub and leaves the meaning to ``backend``.

    ``host_names`` judges the host in a client's user name (None: any will do).
    """

    def __init__(
        self, backend: Backend, *, host_names: Callable[[str], bool] | None = None, clock: Clock
    ) -> None:
        self._backend = backend
        self._host_names = host_names
        self._clock = clock
        self._sessions: dict[Identity, DeviceSession] = {}
        self._parsed: dict[DeviceSession, tuple[str, Message]] = {}
        self._wills: set[asyncio.Task[None]] = set()

    @property
    def sessions(self) -> Mapping[Identity, DeviceSession]:
        """Who is connected now."""
        return MappingProxyType(self._sessions)

    async def drain(self) -> None:
        """Return when every will is stored; to be called after the listeners are closed."""
        while self._wills:
            await asyncio.wait(self._wills)

    # mqtt.link.Handler

    async def connected(self, link: Link, packet: Connect) -> ConnAck:
        try:
            return await self._admit(link, packet)
        except (NotAuthenticated, NotAllowed, NotFound, InvalidInput) as exc:
            log.info("refused %s from %s: %s", packet.client_id[:200], link.peer, exc)
            return ConnAck(False, NOT_AUTHORIZED)
        except SkerryError as exc:
            log.warning("cannot serve %s from %s now: %s", packet.client_id[:200], link.peer, exc)
            return ConnAck(False, SERVER_UNAVAILABLE)

    def published(self, link: Link, packet: Publish) -> Awaitable[None] | None:
        session = _session(link)
        known = self._parsed.get(session)
        if known is not None and known[0] == packet.topic and not packet.retain:
            return self._send(session, Message(packet.payload, known[1].properties, known[1].system))
        match parse_client_topic(packet.topic, session.identity):
            case Telemetry(bag):
                message = _message(bag, packet.payload, retain=packet.retain)
                if not packet.retain:
                    # Devices mostly repeat their topic; parsing it costs more than all the rest.
                    self._parsed[session] = (packet.topic, Message(b"", message.properties, message.system))
                return self._send(session, message)
            case TwinGet(rid):
                return self._twin(session, rid)
            case ReportedPatch(rid):
                return self._report(session, rid, packet.payload)
            case MethodReply(status, rid):
                session.answered(rid, status, packet.payload)
                return None

    async def subscribed(self, link: Link, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        session = _session(link)
        codes = session.subscribe(filters)
        await self._changed(session)
        return codes

    async def unsubscribed(self, link: Link, filters: Sequence[str]) -> None:
        session = _session(link)
        session.unsubscribe(filters)
        await self._changed(session)

    def disconnected(self, link: Link, reason: str, will: Will | None) -> None:
        session = _session(link)
        self._parsed.pop(session, None)
        session.ended(reason)
        if self._sessions.get(session.identity) is session:
            del self._sessions[session.identity]
        self._backend.detached(session)
        if will is not None:
            task = asyncio.ensure_future(self._execute(session, will))
            self._wills.add(task)
            task.add_done_callback(self._wills.discard)

    # The rest.

    async def _admit(self, link: Link, packet: Connect) -> ConnAck:
        name = parse_username(packet.username or "", packet.client_id)
        if self._host_names is not None and not self._host_names(name.host):
            raise NotAuthenticated("the user name is for another host", host=name.host[:200])
        password = _password(packet.password)
        await self._backend.authenticate(name, password, link.peer_certificates)
        filters = await self._filters(name.identity, clean=packet.clean_session)
        self._expire(link, password)
        # Nothing below waits, so two connections of one identity cannot pass each other: the newer wins.
        older = self._sessions.get(name.identity)
        if older is not None:
            older.close("the same identity connected anew")
        session = DeviceSession(
            name.identity, link, self._clock, filters, persistent=not packet.clean_session
        )
        link.context = session
        self._sessions[name.identity] = session
        self._backend.attached(session)
        return ConnAck(bool(filters))

    async def _filters(self, identity: Identity, *, clean: bool) -> Mapping[str, int]:
        """What it subscribed to in earlier sessions, which a clean session forgets (MQTT 3.1.1 §3.1.2.4)."""
        filters = await self._backend.load_subscriptions(identity)
        if not clean or not filters:
            return filters
        await self._backend.save_subscriptions(identity, {})
        return {}

    def _expire(self, link: Link, password: str | None) -> None:
        if password is None:
            return
        try:
            expiry = SasToken.parse(password).expiry
        except NotAuthenticated:
            return  # The backend took it for something else, and it is its judgement that counts.
        left = expiry - self._clock.now().timestamp()
        link.valid_until = self._clock.monotonic() + left + TOKEN_GRACE_S

    def _send(self, session: DeviceSession, message: Message) -> Awaitable[None]:
        # Cheap check first: the size of the bag is only counted when it can matter.
        if len(message.body) > MESSAGE_BYTES_MAX // 2 and message.size > MESSAGE_BYTES_MAX:
            raise TooLarge(
                "a message is over 256 KiB", bytes=message.size, hint="send it in parts, or smaller"
            )
        return self._backend.telemetry(session.identity, message)

    async def _twin(self, session: DeviceSession, rid: str) -> None:
        try:
            body = compact(await self._backend.twin(session.identity)).encode()
        except SkerryError as exc:
            _refuse(session, rid, exc)
        else:
            session.reply(twin_reply_topic(200, rid), body)

    async def _report(self, session: DeviceSession, rid: str, payload: bytes) -> None:
        try:
            patch = parse_json(payload)
            if not isinstance(patch, dict):
                raise InvalidInput("a patch is a JSON object", path="properties.reported")
            version = await self._backend.patch_reported(session.identity, patch)
        except SkerryError as exc:
            _refuse(session, rid, exc)
        else:
            session.reply(twin_reply_topic(204, rid, version), b"")

    async def _changed(self, session: DeviceSession) -> None:
        if session.on_subscriptions is not None:
            session.on_subscriptions(session)
        if not session.persistent:
            return
        async with session.saving:  # or an older state could be written last
            if self._sessions.get(session.identity) is session:
                await self._backend.save_subscriptions(session.identity, dict(session.filters))

    async def _execute(self, session: DeviceSession, will: Will) -> None:
        """A will is telemetry with a mark (contract.md §1.3)."""
        try:
            topic = parse_client_topic(will.topic, session.identity)
            if not isinstance(topic, Telemetry):
                raise InvalidInput("a will is telemetry", topic=will.topic[:200])
            message = _message(topic.bag, will.payload, retain=will.retain)
            await self._send(session, message.with_properties({"iothub-MessageType": "Will"}))
        except SkerryError as exc:
            log.warning("the will of %s is lost: %s", session.identity.client_id, exc)


def _session(link: Link) -> DeviceSession:
    assert isinstance(link.context, DeviceSession)
    return link.context


def _message(bag: str, payload: bytes, *, retain: bool) -> Message:
    properties, system = decode_bag(bag)
    if retain:
        # contract.md §1.7: nothing is retained, the flag becomes a property.
        properties["mqtt-retain"] = "true"
    return Message(payload, properties, system)


def _password(given: bytes | None) -> str | None:
    try:
        return None if given is None else given.decode()
    except UnicodeDecodeError as exc:
        raise NotAuthenticated("the password is not text") from exc


def _refuse(session: DeviceSession, rid: str, error: SkerryError) -> None:
    """Answer a twin request that failed; contract.md §2.6 wants a number and a JSON body."""
    log.info("twin request of %s refused: %s", session.identity.client_id, error)
    status = _status(error)
    body = compact({"errorCode": status * 1000, "message": str(error)}).encode()
    session.reply(twin_reply_topic(status, rid), body)


def _status(error: SkerryError) -> int:
    match error:
        case InvalidInput() | TooLarge():
            return 400
        case NotAuthenticated() | NotAllowed():
            return 401
        case NotFound():
            return 404
        case Throttled():
            return 429
        case Unavailable():
            return 503
        case TimedOut():
            return 504
        case _:
            return 500
