"""The caller of a REST request, and the ids in its path."""

from __future__ import annotations

import logging
from typing import assert_never

from starlette.requests import Request

from skerry.contract.hub_limits import operation
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import NotAllowed, NotAuthenticated
from skerry.hub import authority, etags
from skerry.hub.actor import Actor, set_actor
from skerry.hub.authority import Caller, DeviceCaller, ServiceCaller
from skerry.hub.policies import Right
from skerry.hub.verbs import Verbs
from skerry.mqtt.peer import peer_certificates

log = logging.getLogger(__name__)


def verbs_of(request: Request) -> Verbs:
    """The hub behind this request."""
    verbs = request.app.state.verbs
    assert isinstance(verbs, Verbs)
    return verbs


def caller_of(request: Request) -> Caller:
    """Who asks, by SAS token or as the device in the path by its certificate; from now on the one who acts.

    Its request is counted. Raises NotAuthenticated, Throttled.
    """
    if isinstance(known := getattr(request.state, "caller", None), ServiceCaller | DeviceCaller):
        return known
    caller = _caller(request)
    kind = operation(request.method, request.url.path)
    if kind is not None:
        verbs_of(request).throttle.take(_who(caller), kind)
    set_actor(Actor(_who(caller), request.client.host if request.client else ""))
    request.state.caller = caller
    return caller


def _caller(request: Request) -> Caller:
    header = request.headers.get("authorization")
    if header is None and "device" in request.path_params and (shown := certificates_of(request)):
        return _by_certificate(request, Identity(device_in(request)), shown)
    return verbs_of(request).authority.identify(header)


def _by_certificate(request: Request, claimed: Identity, shown: tuple[bytes, ...]) -> Caller:
    try:
        return verbs_of(request).authority.identify_certificate(claimed, shown)
    except NotAuthenticated as exc:
        # Why is for the operator: who asks may be anybody.
        log.info("refused the certificate shown for %s: %s", claimed.client_id, exc)
        raise NotAuthenticated(
            "the client certificate does not prove this device", reason="certificate"
        ) from exc


def certificates_of(request: Request) -> tuple[bytes, ...]:
    """What the caller showed in the TLS handshake."""
    return peer_certificates(request.scope.get("extensions", {}).get("ssl_object"))


def require(request: Request, right: Right) -> None:
    """Raise NotAuthenticated or NotAllowed unless the caller's token carries this right."""
    authority.require(caller_of(request), right)


def require_or_own(request: Request, right: Right, device: DeviceId) -> None:
    """As ``require``, or the caller is the device itself, asking about its own modules."""
    authority.require_or_own(caller_of(request), right, device)


def require_device(request: Request, device: DeviceId) -> None:
    """Raise NotAuthenticated or NotAllowed unless the caller is this device, or may connect any."""
    caller = caller_of(request)
    if isinstance(caller, DeviceCaller):
        if caller.identity != Identity(device):
            raise NotAllowed("a device may act only for itself")
        return
    authority.require(caller, Right.DEVICE_CONNECT)
    verbs_of(request).registry.device(device)


def require_reader(request: Request, right: Right) -> None:
    """As ``require``; a person may also log in with a policy's name and key. For reading only: a browser
    sends a Basic login on its own, so it must never change anything."""
    header = request.headers.get("authorization")
    if authority.is_basic(header):
        authority.require(verbs_of(request).authority.identify_person(header), right)
    else:
        require(request, right)


def device_in(request: Request) -> DeviceId:
    """The device in the path; raises InvalidInput."""
    return DeviceId(request.path_params["device"])


def identity_in(request: Request) -> Identity:
    """The device or module in the path; raises InvalidInput."""
    module = request.path_params.get("module")
    return Identity(device_in(request), ModuleId(module) if module is not None else None)


def _who(caller: Caller) -> str:
    match caller:
        case ServiceCaller():
            return f"policy {caller.policy}"
        case DeviceCaller():
            return f"device {caller.identity.client_id}"
        case _:
            assert_never(caller)


def if_match(request: Request) -> str | None:
    """The etag the caller insists on, ``*`` for any, ``None`` when it does not say."""
    return etags.parse(request.headers.get("if-match"))
