"""What every request to the registry has: a caller with rights, a repository, perhaps a body."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from skerry.errors import TooLarge
from skerry.hub.actor import Actor, set_actor
from skerry.hub.audit import Audit
from skerry.hub.containers.access import Access, Grant
from skerry.hub.containers.containers import Containers, checked_repository
from skerry.mqtt.peer import peer_certificates
from skerry.oci.validate import DOCUMENT_BYTES_MAX

# The server hands over what one read of the socket gave; the disk gets more at once.
GATHER_BYTES = 1 << 20


def containers_of(request: Request) -> Containers:
    """The registry behind this request."""
    containers = request.app.state.containers
    assert isinstance(containers, Containers)
    return containers


def access_of(request: Request) -> Access:
    """Who checks logins."""
    access = request.app.state.access
    assert isinstance(access, Access)
    return access


def repository_of(request: Request, action: str) -> str:
    """The repository in the path, of a caller who may do this there. NotAuthenticated, NotAllowed."""
    found = grant_of(request)
    repository = checked_repository(request.path_params["name"])
    found.require(action, repository)
    return repository


def grant_of(request: Request) -> Grant:
    """Who asks. NotAuthenticated."""
    found = access_of(request).grant(request.headers.get("authorization"), shown_by(request))
    set_actor(Actor(found.who, request.client.host if request.client else ""))
    return found


def shown_by(request: Request) -> tuple[bytes, ...]:
    """The certificates of the TLS handshake, the leaf first."""
    return peer_certificates(request.scope.get("extensions", {}).get("ssl_object"))


async def note(request: Request, action: str, target: str, *, before: str = "", after: str = "") -> None:
    """Enter a change in the audit log."""
    audit = request.app.state.audit
    assert isinstance(audit, Audit)
    await audit.note(action, target, before=before, after=after)


async def gathered(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about GATHER_BYTES; what came before the client went away comes too."""
    waiting = bytearray()
    try:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= GATHER_BYTES:
                yield bytes(waiting)
                waiting.clear()
    except ClientDisconnect:
        if waiting:
            yield bytes(waiting)
        raise
    if waiting:
        yield bytes(waiting)


async def document_body(request: Request) -> bytes:
    """The body of a manifest. TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > DOCUMENT_BYTES_MAX:
            raise TooLarge(f"a manifest of over {DOCUMENT_BYTES_MAX} bytes", code_name="MANIFEST_INVALID")
    return bytes(body)
