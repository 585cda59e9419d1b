"""The server's end of the provisioning service over MQTT (contract.md §5.1)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from skerry.clock import Clock, iso
from skerry.contract.json_text import compact, parse_json
from skerry.contract.provisioning import (
    REPLIES_FILTER,
    RETRY_AFTER_S,
    Poll,
    ProvisioningName,
    Register,
    error_document,
    parse_request_topic,
    parse_username,
    reply_topic,
)
from skerry.errors import InvalidInput, NotAuthenticated, NotFound, SkerryError, TooLarge
from skerry.mqtt.link import Link
from skerry.mqtt.packets import (
    NOT_AUTHORIZED,
    SERVER_UNAVAILABLE,
    SUBSCRIPTION_REFUSED,
    ConnAck,
    Connect,
    Publish,
    Will,
)
from skerry.protocol.head import TOKEN_GRACE_S

log = logging.getLogger(__name__)

# A registration holds an id and perhaps a few words for a program that allocates, which we do not run.
BODY_BYTES_MAX = 64 * 1024


class Registrant(Protocol):
    """A device that proved that it is enrolled."""

    @property
    def expiry(self) -> float:
        """When its token ends, in unix seconds."""

    async def register(self) -> dict[str, Any]:
        """What it is told about its assignment."""

    async def operation(self, operation: str) -> dict[str, Any]:
        """The same for an earlier request; raises NotFound."""


class Provisioner(Protocol):
    """What stands behind the protocol."""

    async def authenticate(
        self, name: ProvisioningName, password: str | None, certificates: Sequence[bytes], peer: str
    ) -> Registrant:
        """Raises NotAuthenticated, after it noted for the operator why."""


@dataclass(slots=True)
class _Session:
    registrant: Registrant
    registration_id: str
    listens: bool = False


class ProvisioningHead:
    """An MQTT handler for devices that look for their hub. Who is refused is not told why."""

    def __init__(self, provisioner: Provisioner, *, clock: Clock) -> None:
        self._provisioner = provisioner
        self._clock = clock

    # mqtt.link.Handler

    async def connected(self, link: Link, packet: Connect) -> ConnAck:
        try:
            name = parse_username(packet.username or "", packet.client_id)
            password = None if packet.password is None else packet.password.decode(errors="replace")
            registrant = await self._provisioner.authenticate(
                name, password, link.peer_certificates, link.peer
            )
        except NotAuthenticated as exc:
            log.debug("refused %r from %s: %s", packet.client_id[:200], link.peer, exc)
            return ConnAck(False, NOT_AUTHORIZED)
        except SkerryError as exc:
            log.warning("cannot provision %r from %s now: %s", packet.client_id[:200], link.peer, exc)
            return ConnAck(False, SERVER_UNAVAILABLE)
        link.context = _Session(registrant, name.registration_id)
        left = registrant.expiry - self._clock.now().timestamp()
        link.valid_until = self._clock.monotonic() + left + TOKEN_GRACE_S
        return ConnAck(False)

    def published(self, link: Link, packet: Publish) -> Awaitable[None]:
        return self._answer(link, parse_request_topic(packet.topic), packet.payload)

    async def subscribed(self, link: Link, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        session = _session(link)
        session.listens |= any(name == REPLIES_FILTER for name, _ in filters)
        return [min(qos, 1) if name == REPLIES_FILTER else SUBSCRIPTION_REFUSED for name, qos in filters]

    async def unsubscribed(self, link: Link, filters: Sequence[str]) -> None:
        session = _session(link)
        session.listens &= REPLIES_FILTER not in filters

    def disconnected(self, link: Link, reason: str, will: Will | None) -> None:
        """Nothing is kept of a session."""

    # The rest.

    async def _answer(self, link: Link, request: Register | Poll, payload: bytes) -> None:
        session = _session(link)
        if not session.listens:
            raise InvalidInput("it asks without having subscribed to the answers", hint=REPLIES_FILTER)
        retry_after_s = None
        try:
            if isinstance(request, Register):
                check_registration(payload, session.registration_id)
                body = await session.registrant.register()
            else:
                body = await session.registrant.operation(request.operation)
            status = 200
        except SkerryError as exc:
            log.warning("request of %r failed: %s", session.registration_id, exc)
            status, text = refusal(exc)
            retry_after_s = RETRY_AFTER_S if status >= 500 else None
            body = error_document(status, text, "", iso(self._clock.now()))
        if link.is_open:
            # At most once: a device that misses the answer asks again.
            link.publish(reply_topic(status, request.rid, retry_after_s), compact(body).encode())


def check_registration(body: bytes, registration_id: str) -> None:
    """Raise InvalidInput or TooLarge unless ``body`` is this device's registration request."""
    document = parse_json(body, bytes_max=BODY_BYTES_MAX)
    given = document.get("registrationId", registration_id) if isinstance(document, dict) else None
    if given != registration_id:
        raise InvalidInput("the body is not this device's registration", path="registrationId")


def refusal(error: SkerryError) -> tuple[int, str]:
    """What a device is told of an error: a status, and no more words than it needs."""
    match error:
        case NotAuthenticated():
            return 401, "Unauthorized"
        case InvalidInput() | TooLarge():
            return 400, error.what
        case NotFound():
            return 404, "there is no such registration or operation"
        case _:
            return 503, "try again later"


def _session(link: Link) -> _Session:
    assert isinstance(link.context, _Session)
    return link.context
